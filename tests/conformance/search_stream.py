"""S3: a run is streamed, and every event printed with its object."""

from dashscope import Assistants, Messages, Runs, Threads

assistant = Assistants.create(model="qwen-max", tools=[{"type": "quark_search"}])
thread = Threads.create()
Messages.create(thread.id, content="What is the weather in Beijing today?")
for event, msg in Runs.create(thread.id, assistant_id=assistant.id, stream=True):
    print(event)
    print(msg)
