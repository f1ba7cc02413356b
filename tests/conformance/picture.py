"""S19: a painting assistant, without streaming; each step is checked by its status."""

import json
import sys
from http import HTTPStatus

from dashscope import Assistants, Messages, Runs, Threads


def check_status(component, operation):
    if component.status_code == HTTPStatus.OK:
        print(operation, "done")
        return
    print(f"{operation} failed: {component.status_code} {component.code} {component.message}")
    sys.exit(1)


painter = Assistants.create(
    model="qwen-max",
    name="Art Maestro",
    description="AI assistant for painting and art knowledge",
    instructions="Answer questions about art, and draw.",
    tools=[{"type": "text_to_image", "description": "For creating visual examples"}],
)
check_status(painter, "assistant")
thread = Threads.create()
check_status(thread, "thread")
message = Messages.create(thread.id, content="Draw a picture of a ragdoll cat.")
check_status(message, "message")
run = Runs.create(thread.id, assistant_id=painter.id)
check_status(run, "run")
run = Runs.wait(run.id, thread_id=thread.id)
check_status(run, "wait")
messages = Messages.list(thread.id)
check_status(messages, "messages")
print(json.dumps(messages["data"][0], default=lambda o: o.__dict__, sort_keys=True, ensure_ascii=False))
