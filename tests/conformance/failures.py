"""S21: what goes wrong arrives as an object with status, code and message; nothing is raised."""

from http import HTTPStatus

from dashscope import Assistants, Messages, Runs, Steps, Threads

assistant = Assistants.create(model="qwen-max")
thread = Threads.create()
thread_id, nobody = thread.id, "asst_nobody"
tried = {
    "wrong key": Assistants.list(api_key="sk-other"),
    "no assistant": Assistants.get(nobody),
    "no thread": Threads.get("thread_nobody"),
    "no message": Messages.get("message_nobody", thread_id=thread_id),
    "no run": Runs.get("run_nobody", thread_id=thread_id),
    "no steps": Steps.list("run_nobody", thread_id=thread_id),
    "run without an assistant": Runs.create(thread_id, assistant_id=nobody),
    "deleting nobody": Assistants.delete(nobody),
    "wrong order": Messages.list(thread_id, order="newest"),
    "too long a page": Messages.list(thread_id, limit=101),
    "too much metadata": Threads.update(thread_id, metadata={str(n): "v" for n in range(17)}),
    "too long a key": Threads.update(thread_id, metadata={"k" * 65: "v"}),
    "too long a value": Threads.update(thread_id, metadata={"k": "v" * 513}),
    "too hot": Assistants.create(model="qwen-max", temperature=2.5),
}
for what, answer in tried.items():
    if answer.status_code == HTTPStatus.OK:
        print(what, "went well")
    else:
        print(what, answer.status_code, answer.code, bool(answer.message), bool(answer.request_id))
for event, data in Runs.create(thread_id, assistant_id=nobody, stream=True):
    print("stream", event, data["status_code"], data["code"], bool(data["message"]), bool(data["request_id"]))
print("good", assistant.status_code, hasattr(assistant, "code"))
