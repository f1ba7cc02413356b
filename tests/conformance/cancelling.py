"""S15: a run that is under way is cancelled, and the reader leaves a stream and keeps the run's id."""

from dashscope import Assistants, Runs, Threads

assistant = Assistants.create(model="qwen-max")
thread = Threads.create(messages=[{"role": "user", "content": "Tell a long story."}])
stream = Runs.create(thread.id, assistant_id=assistant.id, stream=True)
for event, data in stream:
    if event == "thread.run.created":
        run = data
    if event == "thread.message.delta":
        break
stream.close()
print(Runs.get(run.id, thread_id=thread.id).status)
cancelled = Runs.cancel(run.id, thread_id=thread.id)
print(cancelled.status_code, cancelled.status)
print(Runs.wait(run.id, thread_id=thread.id).status)
again = Runs.cancel(run.id, thread_id=thread.id)
print(again.status_code, again.code)
