"""S6, S7, S8, S13, S14: runs are listed, retrieved, changed and waited for, and their fields read."""

from dashscope import Assistants, Runs, Threads
from dashscope.common.error import TimeoutException

assistant = Assistants.create(model="qwen-max", instructions="Be brief.")
thread = Threads.create(messages=[{"role": "user", "content": "What is 999 × 998?"}])
made = Runs.create(thread.id, assistant_id=assistant.id)
run = Runs.wait(made.id, thread_id=thread.id)
print("waited", run.id == made.id, run.status)

runs = Runs.list(thread.id, limit=20, order="asc")
print("listed", len(runs.data), runs.has_more, runs.first_id == runs.last_id == run.id, runs.data[0].status)
runs = Runs.list(thread.id, limit=1, order="desc")
print("listed", [entry.id for entry in runs.data] == [run.id], sorted(runs.data[0].usage))

run = Runs.get(run.id, thread_id=thread.id)
print("times", run.expires_at, run.started_at, run.cancelled_at, run.failed_at, run.completed_at)
run = Runs.update(run.id, thread_id=thread.id, metadata={"user": "abc123"})
print("updated", run.metadata, Runs.retrieve(run.id, thread_id=thread.id).metadata)

names = (
    "id object created_at thread_id assistant_id status required_action last_error model instructions tools metadata"
)
print("missing", [name for name in names.split() if name not in run])
print("read", run.object, run.assistant_id == assistant.id, run["status"], bool(run.required_action), run.instructions)

missing = Runs.wait("run_9", thread_id=thread.id)
print("unknown", missing.status_code, missing.code)
held = Runs.create(thread.id, assistant_id=assistant.id)
try:
    Runs.wait(held.id, thread_id=thread.id, timeout_seconds=0.5)
except TimeoutException as error:
    print("timeout", error)
