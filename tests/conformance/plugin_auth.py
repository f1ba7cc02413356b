"""S5: a plugin of one's own, with the user's token."""

from dashscope import Assistants, Runs, Threads

auth = {"type": "user_http", "user_token": "token-1"}
assistant = Assistants.create(model="qwen-max", tools=[{"type": "my_plugin", "auth": auth}])
thread = Threads.create(messages=[{"role": "user", "content": "Use the plugin."}])
run = Runs.wait(Runs.create(thread.id, assistant_id=assistant.id).id, thread_id=thread.id)
print(run.status, run.tools[0]["auth"]["user_token"])
