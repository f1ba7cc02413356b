"""Scenarios with functions and with several assistants: the same code, in process and over HTTP.

The guide plays what its rules can play; where a scenario needs a model's mind, the model follows a script.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import nbformat
import pytest
import segno
from IPython.display import Image
from nbclient import NotebookClient
from nbformat import NotebookNode

import dashnb
from dashnb import Client, RunState, Session, tutorials
from dashnb.client.stream import RunStream
from dashnb.errors import BadRequestError
from dashnb.history import Table
from dashnb.local.models.engine import CallPiece, Engine, Piece, Spent, TextPiece
from dashnb.local.models.guide import GuideEngine
from dashnb.local.server import Server
from dashnb.local.service import BASE_URL, LocalService
from dashnb.session.approval import Decision
from dashnb.session.tools import as_tools
from scripted import Script

Connected = Callable[[Engine], Client]

PLAIN = [
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
    "thread.run.completed",
    "done",
]
ASKED = [*PLAIN[:5], "thread.run.step.delta", "thread.run.requires_action", "done"]
ANSWERED = ["thread.run.step.completed", *PLAIN[1:]]
ASKED_AGAIN = ["thread.run.step.completed", *ASKED[1:]]


@pytest.fixture(params=["in process", "over HTTP"])
def connected(request: pytest.FixtureRequest) -> Iterator[Connected]:
    """Makes a client of a new embedded API on which this engine answers."""
    with ExitStack() as stack:

        def in_process(engine: Engine) -> Client:
            service = LocalService(":memory:", engine)
            return stack.enter_context(Client(BASE_URL, transport=service.transport(closes=True)))

        def over_http(engine: Engine) -> Client:
            server = stack.enter_context(Server(":memory:", engine))
            return stack.enter_context(dashnb.connect(server.base_url, api_key=server.api_key))

        yield in_process if request.param == "in process" else over_http


@pytest.fixture
def client(connected: Connected) -> Client:
    """A client where the guide answers."""
    return connected(GuideEngine())


# --- what a model says in a script, and what a program does with a run ----------------------------


def says(text: str) -> list[Piece]:
    return [TextPiece(text), Spent(10, 1)]


def calls(*wanted: tuple[str, dict[str, Any]]) -> list[Piece]:
    made = [CallPiece(n, name, json.dumps(given, ensure_ascii=False)) for n, (name, given) in enumerate(wanted)]
    return [*made, Spent(5, 1)]


def order(stream: RunStream) -> list[str]:
    """The names of a stream's events, deltas that follow one another as one."""
    with stream:
        return [name for name, _ in groupby(event.name for event in stream)]


def asking(client: Client, question: str, *tools: Any) -> dict[str, str]:
    """The ids that a run is made from: an assistant with these tools, and a thread with the question."""
    assistant = client.assistants.create(model="qwen-max", tools=as_tools(tools)[0])
    thread = client.threads.create(messages=[{"role": "user", "content": question}])
    return {"thread_id": thread.id, "assistant_id": assistant.id}


def outputs_for(state: RunState, *tools: Any) -> list[dict[str, str]]:
    """What the functions give out for the calls that a run waits for."""
    functions = as_tools(tools)[1]
    given = [(call, functions[call.name]) for call in state.pending_calls]
    return [{"tool_call_id": call.id, "output": str(tool(**json.loads(call.arguments)))} for call, tool in given]


def going_on(client: Client, state: RunState, outputs: list[dict[str, str]]) -> RunStream:
    """The stream with which a run goes on, and its state with it."""
    ids = {"run_id": state.id, "thread_id": state.thread_id}
    return client.runs.submit_tool_outputs(**ids, tool_outputs=outputs, stream=True, state=state)


def orders_of(client: Client, stream: RunStream, *tools: Any) -> list[list[str]]:
    """The events of a run, stream by stream, until it asks for no function any more."""
    orders, state = [order(stream)], stream.state
    while state.pending_calls:
        orders.append(order(going_on(client, state, outputs_for(state, *tools))))
    return orders


def called(state: RunState) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, json.loads(call.arguments)) for call in state.tool_calls]


def steps_of(client: Client, state: RunState) -> list[str]:
    return [step.type or "" for step in client.steps.list(state.id, thread_id=state.thread_id, order="asc")]


# --- functions -----------------------------------------------------------------------------------


def big_add(left: int, right: int) -> int:
    """Add two integers, however large."""
    return left + right


def translate_text(text: str, target_language: str) -> str:
    """Translate a text into another language.

    Args:
        text: What to translate.
        target_language: The language to translate into.
    """
    return {"Chinese": "你好，世界", "French": "Bonjour le monde"}.get(target_language, text)


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return {"Beijing": "clear", "Xi'an": "rain"}[city]


def retrieve_nodes(query: str) -> list[str]:
    """Retrieve passages of the travel handbook: tickets, refunds, luggage."""
    return ["Two pieces of luggage are free."] if "luggage" in query else []


def get_train_info(origin: str, destination: str, date: str = "today") -> list[dict[str, str]]:
    """Get the trains between two cities."""
    return [{"train": "G1", "from": origin, "to": destination, "leaves": f"{date} 09:00"}]


def make_ticket(train: str) -> Image:
    """Make the ticket for a train."""
    file = io.BytesIO()
    segno.make_qr(train).save(file, kind="png", scale=5)
    return Image(file.getvalue())


def list_prices(train: str) -> Table:
    """List the prices of a train."""
    return Table({"class": "text", "yuan": "integer"}, [("second", 577), ("first", 923)], name="prices")


def 天气查询(城市: str) -> str:
    """查询一个城市的天气。"""
    return {"北京": "晴", "西安": "小雨"}[城市]


def 火车票查询(出发地: str, 目的地: str) -> str:
    """查询两地之间的火车票。"""
    return f"{出发地}到{目的地}：G19，08:00"


def 机票查询(出发地: str, 目的地: str) -> str:
    """查询两地之间的航班和机票。"""
    return f"{出发地}到{目的地}：CA1704，10:30"


def 酒店推荐(城市: str) -> str:
    """推荐一个城市的酒店。"""
    return f"{城市}湖畔酒店"


def 景点推荐(城市: str) -> str:
    """推荐一个城市的景点。"""
    return f"{城市}博物馆"


def 美食推荐(城市: str) -> str:
    """推荐一个城市的美食。"""
    return f"{城市}小吃街"


def 汇率查询(货币: Literal["美元", "欧元", "日元"]) -> str:
    """查询一种货币的汇率。"""
    return f"1 {货币} = 7 元"


TRAVEL = (天气查询, 火车票查询, 机票查询, 酒店推荐, 景点推荐, 美食推荐, 汇率查询)


# --- one assistant with functions ----------------------------------------------------------------


def test_a_thread_is_made_with_its_first_run_and_goes_on_with_a_function(client: Client) -> None:
    assistant = client.assistants.create(model="qwen-max", tools=as_tools([big_add])[0])
    first_words = {"messages": [{"role": "user", "content": "What is a transformer?"}]}
    first = client.runs.stream_thread_and_run(assistant_id=assistant.id, thread=first_words)
    assert order(first) == ["thread.created", *PLAIN]
    assert first.state.text

    thread_id = first.state.thread_id
    client.messages.create(thread_id, content="Add 87787 to 788988737")
    second = client.runs.stream(thread_id, assistant_id=assistant.id)
    assert order(second) == ASKED
    state = second.state
    assert order(going_on(client, state, outputs_for(state, big_add))) == ANSWERED
    assert (state.status, called(state)) == ("completed", [("big_add", {"left": 87787, "right": 788988737})])
    assert "789076524" in state.text
    assert client.messages.list(thread_id)[0].text == state.text


def test_a_translation_goes_from_stream_to_stream_until_nothing_is_asked_for(client: Client) -> None:
    stream = client.runs.stream(**asking(client, "Translate “Hello world” to Chinese.", translate_text))
    assert orders_of(client, stream, translate_text) == [ASKED, ANSWERED]
    assert called(stream.state) == [("translate_text", {"text": "Hello world", "target_language": "Chinese"})]
    assert "你好，世界" in stream.state.text


def test_a_session_makes_the_definition_of_a_translation_and_calls_it(client: Client) -> None:
    with Session(client=client, tools=[translate_text], ledger=None) as session:
        answer = session.ask("Translate “Hello world” to Chinese.")
        (tool,) = session.assistant.tools
    assert tool.to_dict()["function"] == {
        "name": "translate_text",
        "description": "Translate a text into another language.",
        "parameters": {
            "type": "object",
            "properties": {
                "text": {"description": "What to translate.", "type": "string"},
                "target_language": {"description": "The language to translate into.", "type": "string"},
            },
            "required": ["text", "target_language"],
        },
    }
    assert "你好，世界" in answer.text


def test_seven_functions_with_chinese_names_plan_a_journey_by_rules(client: Client) -> None:
    with Session(client=client, tools=TRAVEL, ledger=None) as session:
        journey = session.ask("我从西安去北京玩，请查询火车票，推荐酒店、景点和美食，再查一下天气")
        money = session.ask("今天日元的汇率是多少？")
        flight = session.ask("查一下从西安到北京的机票")
    assert {name for name, _ in called(journey)} == {tool.__name__ for tool in TRAVEL[:2] + TRAVEL[3:6]}
    assert ("火车票查询", {"出发地": "西安", "目的地": "北京"}) in called(journey)
    assert "G19" in journey.text
    assert called(money) == [("汇率查询", {"货币": "日元"})]
    assert called(flight) == [("机票查询", {"出发地": "西安", "目的地": "北京"})]
    assert "CA1704" in flight.text


def test_a_travel_assistant_is_asked_without_a_stream_until_its_run_is_completed(connected: Connected) -> None:
    client = connected(
        Script(
            calls(("天气查询", {"城市": "北京"}), ("天气查询", {"城市": "西安"})),
            calls(("火车票查询", {"出发地": "西安", "目的地": "北京"})),
            calls(("酒店推荐", {"城市": "北京"}), ("景点推荐", {"城市": "北京"}), ("美食推荐", {"城市": "北京"})),
            says("北京天晴，坐 G19 去吧。"),
        )
    )
    ids = asking(client, "我在西安，周末想去北京，请安排一下。", *TRAVEL)
    run = client.runs.create(**ids)
    rounds = []
    while (run := client.runs.wait(run.id, thread_id=run.thread_id)).status == "requires_action":
        state = client.runs.load(run.id, thread_id=run.thread_id)
        handed_in = outputs_for(state, *TRAVEL)
        rounds.append([output["output"] for output in handed_in])
        client.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=handed_in)
    assert run.status == "completed"
    assert rounds == [["晴", "小雨"], ["西安到北京：G19，08:00"], ["北京湖畔酒店", "北京博物馆", "北京小吃街"]]
    assert client.messages.list(run.thread_id)[0].text == "北京天晴，坐 G19 去吧。"


def test_own_passages_and_own_trains_stand_beside_the_search(client: Client) -> None:
    with Session(client=client, tools=[retrieve_nodes, get_train_info, "quark_search"], ledger=None) as session:
        trains = session.ask("Which trains go from Beijing to Shanghai tomorrow?")
        luggage = session.ask("How much luggage may I take, says the handbook?")
        weather = session.ask("What is the weather in Shanghai?")
    journey = {"origin": "Beijing", "destination": "Shanghai", "date": "tomorrow"}
    assert called(trains) == [("get_train_info", journey)]
    assert "train: G1, from: Beijing, to: Shanghai, leaves: tomorrow 09:00" in trains.text
    assert [name for name, _ in called(luggage)] == ["retrieve_nodes"]
    assert "Two pieces of luggage are free." in luggage.text
    assert called(weather) == [("quark_search", {"query": "weather in Shanghai"})]
    assert "27 °C" in weather.text


def test_functions_and_the_search_take_turns_within_one_run(connected: Connected) -> None:
    engine = Script(
        calls(("retrieve_nodes", {"query": "luggage"})),
        calls(("quark_search", {"query": "weather in Shanghai"})),
        calls(("get_train_info", {"origin": "Beijing", "destination": "Shanghai"})),
        says("Take G1, an umbrella and two suitcases."),
    )
    client = connected(engine)
    with Session(client=client, tools=[retrieve_nodes, get_train_info, "quark_search"], ledger=None) as session:
        answer = session.ask("Prepare my journey to Shanghai.")
    assert answer.text == "Take G1, an umbrella and two suitcases."
    assert steps_of(client, answer) == ["tool_calls"] * 3 + ["message_creation"]
    known = [[call.output for call in made] for made in engine.turns[-1].rounds]
    assert known[0] == ['["Two pieces of luggage are free."]']
    assert "27 °C" in known[1][0]
    assert json.loads(known[2][0])[0]["leaves"] == "today 09:00"


# --- what a person decides, and what only a person sees --------------------------------------------


@pytest.mark.parametrize(
    ("approve", "output"),
    [
        ("auto", "789076524"),
        ("deny", "Error: the person denied this call: nobody is there to be asked"),
        (
            lambda call, tool: Decision(approved=True, arguments='{"left": 1, "right": 2}'),
            '3\n(The person changed the arguments to {"left": 1, "right": 2}.)',
        ),
    ],
    ids=["approved", "denied", "changed"],
)
def test_a_function_that_asks_first_is_called_as_was_decided(client: Client, approve: Any, output: str) -> None:
    careful = dashnb.tool(approval="ask")(big_add)
    with Session(client=client, tools=[careful], ledger=None, approve=approve) as session:
        answer = session.ask("Add 87787 to 788988737")
    assert (answer.status, [call.output for call in answer.tool_calls]) == ("completed", [output])


def test_a_picture_of_a_function_reaches_the_person_and_not_the_service(client: Client) -> None:
    with Session(client=client, tools=[make_ticket], ledger=None) as session:
        answer = session.ask("Make the ticket for “G19”.")
    (call,) = answer.tool_calls
    assert re.fullmatch(r"A picture was shown to the person: PNG, \d+ × \d+ pixels\.", str(call.output))
    (picture,) = answer.asides[call.id].pictures
    assert picture.startswith("data:image/png;base64,")
    (kept,) = client.steps.list(answer.id, thread_id=answer.thread_id, order="asc")[0].step_details.tool_calls
    assert kept.payload[1].output == call.output


def test_a_table_of_a_function_reaches_the_service_as_markdown(client: Client) -> None:
    with Session(client=client, tools=[list_prices], ledger=None) as session:
        answer = session.ask("List the prices of “G19”.")
    (call,) = answer.tool_calls
    assert call.output == "| class | yuan |\n| --- | --- |\n| second | 577 |\n| first | 923 |"
    assert str(call.output) in answer.text


# --- how outputs are handed in -----------------------------------------------------------------------


def test_outputs_of_several_calls_are_handed_in_at_once_and_paired_by_id(client: Client) -> None:
    stream = client.runs.stream(**asking(client, "What is the weather in Beijing and Xi'an?", get_weather))
    assert order(stream) == ASKED
    state = stream.state
    handed_in = outputs_for(state, get_weather)
    assert [output["output"] for output in handed_in] == ["clear", "rain"]
    assert len({output["tool_call_id"] for output in handed_in} - {""}) == 2
    assert order(going_on(client, state, handed_in[::-1])) == ANSWERED
    assert "The current weather in Beijing is clear.\n\nThe current weather in Xi'an is rain." in state.text


def test_a_round_is_not_answered_by_halves(client: Client) -> None:
    stream = client.runs.stream(**asking(client, "What is the weather in Beijing and Xi'an?", get_weather))
    assert order(stream) == ASKED
    first, second = outputs_for(stream.state, get_weather)
    ids = {"run_id": stream.state.id, "thread_id": stream.state.thread_id}
    for wrong in ([first], [first, first], [first, {**second, "tool_call_id": "call_of_another_run"}]):
        with pytest.raises(BadRequestError):
            client.runs.submit_tool_outputs(**ids, tool_outputs=wrong)
    assert client.runs.retrieve(**ids).status == "requires_action"
    client.runs.submit_tool_outputs(**ids, tool_outputs=[first, second])
    assert client.runs.wait(**ids).status == "completed"


def test_a_session_hands_in_all_outputs_of_a_round_at_once(client: Client) -> None:
    with Session(client=client, tools=[get_weather], ledger=None) as session:
        answer = session.ask("What is the weather in Beijing and Xi'an?")
    assert [(call.arguments, call.output) for call in answer.tool_calls] == [
        ('{"city": "Beijing"}', "clear"),
        ('{"city": "Xi\'an"}', "rain"),
    ]
    assert steps_of(client, answer) == ["tool_calls", "message_creation"]


def test_a_run_that_got_its_outputs_may_ask_again(connected: Connected) -> None:
    engine = Script(calls(("big_add", {"left": 1, "right": 2})), calls(("big_add", {"left": 3, "right": 4})), says("7"))
    client = connected(engine)
    stream = client.runs.stream(**asking(client, "Add 1, 2 and 4.", big_add))
    assert orders_of(client, stream, big_add) == [ASKED, ASKED_AGAIN, ANSWERED]
    state = stream.state
    assert (state.status, state.text, [call.output for call in state.tool_calls]) == ("completed", "7", ["3", "7"])
    assert [[call.output for call in made] for made in engine.turns[-1].rounds] == [["3"], ["7"]]


def test_a_run_that_was_streamed_takes_its_outputs_without_a_stream(client: Client) -> None:
    stream = client.runs.stream(**asking(client, "Add 87787 to 788988737", big_add))
    assert order(stream) == ASKED
    ids = {"run_id": stream.state.id, "thread_id": stream.state.thread_id}
    client.runs.submit_tool_outputs(**ids, tool_outputs=outputs_for(stream.state, big_add))
    assert client.runs.wait(**ids).status == "completed"
    assert "789076524" in client.messages.list(ids["thread_id"])[0].text


def test_a_run_that_was_not_streamed_is_streamed_from_its_outputs_on(client: Client) -> None:
    run = client.runs.create(**asking(client, "Add 87787 to 788988737", big_add))
    ids = {"run_id": run.id, "thread_id": run.thread_id}
    assert client.runs.wait(**ids).status == "requires_action"
    state = client.runs.load(**ids)
    assert order(going_on(client, state, outputs_for(state, big_add))) == ANSWERED
    assert (state.status, "789076524" in state.text) == ("completed", True)


@pytest.mark.parametrize("streamed", [False, True])
def test_outputs_that_no_run_waits_for_are_refused(client: Client, streamed: bool) -> None:
    run = client.runs.create(**asking(client, "Hello"))
    ids = {"run_id": run.id, "thread_id": run.thread_id}
    assert client.runs.wait(**ids).status == "completed"
    with pytest.raises(BadRequestError) as caught:
        for _event in client.runs.submit_tool_outputs(**ids, tool_outputs=[{"output": "5"}], stream=streamed):
            pass
    assert (caught.value.status_code, caught.value.code) == (400, "InvalidParameter")
    assert client.runs.retrieve(**ids).status == "completed"


# --- several assistants ------------------------------------------------------------------------------


Team = dict[str, Session]


def from_tutorial(name: str, **used: Any) -> Any:
    """A function of the tutorial, as it stands there.

    Args:
        name: Its name.
        used: What it uses of the rest of the tutorial, by name.
    """
    cells = nbformat.read(tutorials.source() / "05-several-assistants.ipynb", as_version=4).cells
    (source,) = (cell.source for cell in cells if f"def {name}(" in cell.source)
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    exec(compile(tree, name, "exec", dont_inherit=True), used)
    return used[name]


def plan_of(answer: str, team: Iterable[str]) -> list[str]:
    plan: list[str] = from_tutorial("plan_of", team=team, ast=ast, re=re)(answer)
    return plan


def in_turn(team: Team, plan: list[str], question: str) -> str:
    return str(from_tutorial("in_turn", team=team)(plan, question))


def handing_over(team: Team) -> Callable[..., str]:
    hand_over: Callable[..., str] = from_tutorial("hand_over", team=team, Literal=Literal)
    return hand_over


def gather(client: Client) -> Team:
    """A searcher, a painter and a chat assistant; each is told its own name."""
    tools = {"searcher": ["quark_search"], "painter": ["text_to_image"], "chat": []}
    return {
        name: Session(client=client, instructions=f"You are the {name}.", tools=given, ledger=None)
        for name, given in tools.items()
    }


def test_assistants_work_in_turn_as_an_assistant_planned(connected: Connected) -> None:
    engine = Script(
        says('I suggest ["searcher", "painter"].'),
        calls(("quark_search", {"query": "weather in Beijing"})),
        says("It is clear."),
        says("A clear sky, painted."),
    )
    client = connected(engine)
    team = gather(client)
    question = "Paint the weather in Beijing."
    planner = Session(client=client, instructions="You plan. Answer with a list of names.", ledger=None)
    plan = plan_of(planner.ask(question).text, team)
    assert plan == ["searcher", "painter"]
    assert in_turn(team, plan, question) == "A clear sky, painted."
    planned, *searched, painted = engine.turns
    assert planned.instructions == "You plan. Answer with a list of names."
    assert {turn.instructions for turn in searched} == {"You are the searcher."}
    assert painted.instructions == "You are the painter."
    assert [message.text for message in painted.messages] == [
        f"{question}\n\nFor reference, the searcher says: It is clear."
    ]


@pytest.mark.parametrize(
    "said", ["I cannot say.", '["plumber"]', "[searcher]", "[1, 2]", "[]", "[['searcher']]", "['searcher'", "[{{}: 1}]"]
)
def test_what_is_no_list_of_members_is_no_plan(said: str) -> None:
    assert plan_of(said, {"searcher": None, "chat": None}) == ["chat"]


def test_the_chat_assistant_answers_where_no_plan_was_made(connected: Connected) -> None:
    client = connected(Script(says("A plumber, I suppose."), says("Let us talk.")))
    team = gather(client)
    planner = Session(client=client, instructions="You plan.", ledger=None)
    plan = plan_of(planner.ask("How are you?").text, team)
    assert in_turn(team, plan, "How are you?") == "Let us talk."
    assert [name for name, session in team.items() if session.runs] == ["chat"]


def test_the_guide_follows_a_plan_though_it_makes_none(client: Client) -> None:
    team = gather(client)
    question = "What is the weather in Beijing? Draw a picture of it."
    planner = Session(client=client, instructions="You plan.", ledger=None)
    assert plan_of(planner.ask(question).text, team) == ["chat"]
    assert "![weather in Beijing](data:image/png;base64," in in_turn(team, ["searcher", "painter"], question)
    assert [run.tool_calls[0].name for name in ("searcher", "painter") for run in team[name].runs] == [
        "quark_search",
        "text_to_image",
    ]


@pytest.mark.parametrize(
    ("desk", "request_", "said"),
    [("searcher", "what is the weather in Xi'an?", "18 °C"), ("painter", "draw a ragdoll cat.", "![a ragdoll cat](")],
)
def test_an_assistant_hands_over_by_a_function(client: Client, desk: str, request_: str, said: str) -> None:
    team = gather(client)
    with Session(client=client, tools=[handing_over(team)], ledger=None) as front:
        answer = front.ask(f"Hand over to the {desk}: {request_}")
    assert called(answer) == [("hand_over", {"desk": desk, "request": request_})]
    (run,) = team[desk].runs
    assert run.text.startswith(str(answer.tool_calls[0].output))
    assert said in answer.text
    assert run.thread_id != answer.thread_id


def test_handing_over_goes_from_stream_to_stream(connected: Connected) -> None:
    """The colleague's own run begins and ends while that of the front desk waits for the output."""
    engine = Script(
        calls(("hand_over", {"desk": "searcher", "request": "weather"})),
        says("It is clear."),
        calls(("hand_over", {"desk": "painter", "request": "a clear sky"})),
        says("Painted."),
        says("Here you are."),
    )
    client = connected(engine)
    hand_over = handing_over(gather(client))
    stream = client.runs.stream(**asking(client, "Paint the weather.", hand_over))
    assert orders_of(client, stream, hand_over) == [ASKED, ASKED_AGAIN, ANSWERED]
    state = stream.state
    assert [call.output for call in state.tool_calls] == ["It is clear.", "Painted."]
    assert state.text == "Here you are."


# --- the tutorials -------------------------------------------------------------------------------------


def shown(notebook: NotebookNode) -> list[str]:
    """What each cell shows as text, but for cells that only say where they are connected."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "%load_ext" not in cell.source]
    return ["".join(_text(output) for output in cell.outputs) for cell in cells]


def _text(output: NotebookNode) -> str:
    text = output.text if output.output_type == "stream" else output.data["text/plain"]
    return re.sub(r"_[0-9a-f]{8}-[0-9a-f-]{27}", "_ID", text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the kernel's own channels warn about missing encryption on loopback
@pytest.mark.parametrize("name", ["04-functions", "05-several-assistants"])
def test_a_tutorial_shows_the_same_on_a_served_port(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHNB_PACE", "0")
    notebook = nbformat.read(tutorials.source() / f"{name}.ipynb", as_version=4)
    kept = shown(notebook)
    with dashnb.serve(engine="guide", database=":memory:") as server:
        for cell in notebook.cells:
            cell.source = cell.source.replace('connect("local")', f'connect("{server.base_url}")')
            cell.source = cell.source.replace("connect local", f"connect {server.base_url}")
        ours = {"DASHNB_DATA_DIR": str(tmp_path), "DASHSCOPE_API_KEY": server.api_key, "DASHNB_PICTURES": "keep"}
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute(env={**os.environ, **ours})
    assert shown(notebook) == kept
