"""Functions in a loop of streams: one, then two at once, then the answer; one submit is JSON."""

from dashscope import Assistants, Messages, Runs

tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("look_up", "translate_text")]
assistant = Assistants.create(model="qwen-max", tools=tools)
question = {"messages": [{"role": "user", "content": "Hello world"}]}
events = Runs.create_thread_and_run(assistant_id=assistant.id, thread=question, stream=True)
asked, names, text = 0, [], ""
while events is not None:
    waiting = None
    for event, data in events:
        names.append(event)
        if event == "thread.message.delta":
            text += data.delta.content.text.value
        if event == "thread.run.step.delta":
            call = data.delta.step_details.tool_calls[0]
            if "id" in call:
                print("delta", call["type"], call.function.name)
        if event == "thread.run.requires_action":
            waiting = data
    events = None
    if waiting:
        calls = waiting.required_action.submit_tool_outputs.tool_calls
        print("calls", [call.function.name for call in calls])
        outputs = [{"tool_call_id": call.id, "output": call.function.arguments} for call in reversed(calls)]
        asked += 1
        ids = {"run_id": waiting.id, "thread_id": waiting.thread_id}
        if asked == 1:
            early = Runs.submit_tool_outputs(**ids, tool_outputs=outputs * 2)
            print("too many", early.status_code, early.code)
            run = Runs.submit_tool_outputs(**ids, tool_outputs=outputs)
            run = Runs.wait(run.id, thread_id=run.thread_id)
            calls = run.required_action.submit_tool_outputs.tool_calls
            print("calls", [call.function.name for call in calls])
            outputs = [{"output": call.function.arguments} for call in calls]
        events = Runs.submit_tool_outputs(**ids, tool_outputs=outputs, stream=True)
print("begun", names[:2])
print("text", text)
late = Runs.submit_tool_outputs(**ids, tool_outputs=outputs)
print("late", late.status_code, late.code)
print("said", Messages.list(ids["thread_id"]).data[0].content[0].text.value)
