"""The first event is in the reader's hands before the last is made: the model waits until it is told to go on."""

import urllib.request

import dashscope
from dashscope import Assistants, Runs, Threads

assistant = Assistants.create(model="qwen-max")
thread = Threads.create(messages=[{"role": "user", "content": "Hello"}])
seen = []
for event, data in Runs.create(thread.id, assistant_id=assistant.id, stream=True, request_timeout=5):
    seen.append(event)
    if event == "thread.message.delta" and seen.count(event) == 1:
        print("before", seen[0], data.delta.content.text.value, "thread.run.completed" in seen)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        direct.open(dashscope.base_http_api_url.replace("/api/v1", "/open"), timeout=5).close()
print("after", seen[-1])
