"""Assistants, threads, messages and their files are made, changed, listed and deleted."""

from dashscope import Assistants, Messages, Threads
from dashscope.assistants.files import Files as AssistantFiles
from dashscope.threads.messages.files import Files as MessageFiles

assistant = Assistants.create(model="qwen-max", name="助手", tools=[{"type": "quark_search"}], file_ids=["file_1"])
print("made", assistant.name, assistant.tools, assistant.file_ids, assistant.object)
print("kept", Assistants.update(assistant.id, name="n").tools, Assistants.get(assistant.id).name)
print("cleared", Assistants.update(assistant.id, tools=[]).tools, Assistants.get(assistant.id).tools)
others = [Assistants.create(model="qwen-max").id for _ in range(3)]
print("newest", [entry.id for entry in Assistants.list(limit=2, order="desc").data] == others[:0:-1])
print("behind", [entry.id for entry in Assistants.list(order="asc", after=assistant.id).data] == others)

attached = AssistantFiles.create(assistant.id, file_id="file_2")
print("attached", attached.id, attached.object, attached.assistant_id == assistant.id)
print("files", [file.id for file in AssistantFiles.list(assistant.id).data])
print("file", AssistantFiles.retrieve("file_1", assistant_id=assistant.id).object)
print("detached", AssistantFiles.delete("file_1", assistant_id=assistant.id).deleted)
print("left", [file.id for file in AssistantFiles.list(assistant.id).data], Assistants.get(assistant.id).file_ids)
print("gone", AssistantFiles.retrieve("file_1", assistant_id=assistant.id).code)

thread = Threads.create()
message = Messages.create(thread.id, content="Look", file_ids=["file_3"], metadata={"主题": "天气"})
print("message", message.role, message.content[0].text.value, message.file_ids, message.metadata)
print("files", [file.id for file in MessageFiles.list(message.id, thread_id=thread.id).data])
file = MessageFiles.retrieve("file_3", thread_id=thread.id, message_id=message.id)
print("file", file.object, file.message_id == message.id)
print("updated", Messages.update(message.id, thread_id=thread.id, metadata={"k": "v"}).metadata)
print("updated", Threads.update(thread.id, metadata={"modified": "true"}).metadata, Threads.get(thread.id).metadata)

deleted = Threads.delete(thread.id)
print("deleted", deleted.deleted, deleted.object, deleted.id == thread.id)
print("gone", Messages.get(message.id, thread_id=thread.id).code)
print("deleted", Assistants.delete(assistant.id).deleted, Assistants.get(assistant.id).code)
