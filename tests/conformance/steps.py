"""S16, S17, S18: the steps of a run are listed, retrieved, and paged through."""

from dashscope import Assistants, Runs, Steps, Threads

assistant = Assistants.create(model="qwen-max", tools=[{"type": "quark_search"}])
thread = Threads.create(messages=[{"role": "user", "content": "What is the weather in Beijing today?"}])
run = Runs.wait(Runs.create(thread.id, assistant_id=assistant.id).id, thread_id=thread.id)
ids = {"thread_id": thread.id}
steps = Steps.list(run.id, limit=20, order="asc", **ids)
print("listed", steps.has_more, [(step.type, step.status) for step in steps.data])
called, said = steps.data
print("usage", called.usage, "error", called.last_error.code == "", called.expires_at, called.completed_at > 0)
call = called.step_details.tool_calls[0]
print("call", call["type"], "北" in str(call) or "Beijing" in str(call))
print("message", said.step_details.message_creation.message_id.startswith("message_"))
step = Steps.retrieve(said.id, run_id=run.id, **ids)
print("retrieved", step.id == said.id, step.type, step.status, step.usage)
print("got", Steps.get(called.id, run_id=run.id, **ids).id == called.id)
behind = Steps.list(run.id, order="asc", after=called.id, **ids)
before = Steps.list(run.id, order="asc", before=said.id, **ids)
print("paged", [step.id for step in behind.data] == [said.id], [step.id for step in before.data] == [called.id])
page = Steps.list(run.id, order="asc", limit=1, **ids)
print("more", page.has_more, page.first_id == page.last_id == called.id)
both = Steps.list(run.id, after=called.id, before=said.id, **ids)
print("both", both.status_code, both.code)
print("newest", Steps.list(run.id, **ids).data[0].id == said.id)
try:
    for _ in steps:
        pass
except TypeError as error:
    print("iterated", error)
