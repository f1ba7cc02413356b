"""S4: one run with a model, instructions, tools and sampling of its own, and the last ten messages only."""

from dashscope import Assistants, Messages, Runs, Threads

assistant = Assistants.create(model="qwen-max", instructions="Be brief.", tools=[{"type": "quark_search"}])
thread = Threads.create()
for number in range(12):
    Messages.create(thread.id, content=f"No. {number}")
run = Runs.create(
    thread.id,
    assistant_id=assistant.id,
    model="qwen-plus",
    instructions="Be verbose.",
    tools=[{"type": "text_to_image"}],
    temperature=0.1,
    top_p=0.5,
    top_k=1,
    extra_body={"truncation_strategy": {"type": "last_messages", "last_messages": 10}},
)
print(run.model, run.instructions, run.tools[0]["type"])
run = Runs.wait(run.id, thread_id=thread.id)
print(run.status, run.model, run.instructions, run.tools[0]["type"])
print(Assistants.get(assistant.id).model)
