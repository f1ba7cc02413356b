"""A model that fails in the middle of its answer: the run ends as failed, and says why."""

from dashscope import Assistants, Runs, Threads

assistant = Assistants.create(model="qwen-max")
thread = Threads.create(messages=[{"role": "user", "content": "Hello"}])
for event, data in Runs.create(thread.id, assistant_id=assistant.id, stream=True):
    if event == "thread.message.incomplete":
        print(event, data.content[0].text.value)
    if event == "thread.run.failed":
        print(event, data.status, data.last_error["code"])
run = Runs.wait(data.id, thread_id=thread.id)
print(run.status, run.last_error["code"])
