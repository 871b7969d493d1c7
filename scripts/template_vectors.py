"""Makes crates/text/tests/vectors/templates.json: chat templates of our own, conversations, and what Jinja2 renders.

    python scripts/template_vectors.py

Needs jinja2. The environment is set up as Hugging Face's `apply_chat_template` sets up its own. The templates are short
and written here; each exercises the constructs that a family of published templates uses.
"""

import json
from datetime import datetime
from pathlib import Path

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

OUT = Path(__file__).resolve().parent.parent / "crates/text/tests/vectors/templates.json"
NOW = datetime(2024, 7, 6, 9, 5, 0)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


class Generation(Extension):
    """`{% generation %}` as a block that does nothing, as it is outside training."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather: <b>\"now\"</b> & in 5 days' time.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Größe 東京"},
                    "days": {"type": "integer", "default": 3},
                    "unit": {"type": ["string", "null"], "enum": ["C", "F"]},
                    "scale": {"type": "number", "default": 1.0},
                },
                "required": ["city"],
            },
        },
    }
]
CALL = {"id": "call12345", "type": "function", "function": {"name": "weather", "arguments": {"city": "Köln", "days": 2}}}
PLAIN = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " What's 2 < 3? \n"},
    {"role": "assistant", "content": "True."},
    {"role": "user", "content": "Why?"},
]
TOOLED = [
    {"role": "user", "content": "Weather in Köln?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "name": "weather", "tool_call_id": "call12345", "content": "rain"},
    {"role": "tool", "name": "weather", "tool_call_id": "call12345", "content": "sun"},
    {"role": "assistant", "content": "<think>\nlook\n</think>\n\nRain, then sun.", "reasoning_content": "look"},
    {"role": "user", "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "Bonn?"}]},
]

TEMPLATES = {
    "headers": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "none" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|h|>system<|/h|>\\n\\nToday: " + date_string + "\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message + "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|h|>' + message['role'] + '<|/h|>\\n\\n' }}
        {%- if message.content is string %}{{- message['content'] | trim }}
        {%- else %}{%- for part in message.content %}{{- part.text }}{%- endfor %}{%- endif %}
        {{- '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("only single tool calls") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}<|eot|>" }}
    {%- else %}
        {{- "<|h|>ipython<|/h|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}{{- message.content | tojson }}
        {%- else %}{{- message.content }}{%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|h|>assistant<|/h|>\\n\\n' }}
{%- endif %}
""",
    "brackets": """{%- if messages[0]["role"] == "system" %}
    {%- set system = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) and strict %}
            {{- raise_exception("roles must alternate, at " ~ ns.index) }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system is defined %}
            {{- "[INST] " + system + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " ~ message["content"] ~ "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if tool_call.id|length != 9 %}{{- raise_exception("id") }}{%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {%- generation -%}
        {{- " " + message["content"]|trim + eos_token }}
        {%- endgeneration -%}
    {%- elif message["role"] in ["tool_results", "tool"] %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + "}" }}
    {%- endif %}
{%- endfor %}
""",
    "chatml": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- endif %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index or loop.last or reasoning_content %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}{{- tool_call.arguments }}
                {%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
""",
    "channels": """{#- Types as TypeScript would write them -#}
{%- macro render_type(spec, required_params) -%}
    {%- if spec.type == "array" -%}
        {{- render_type(spec['items'], required_params) + "[]" -}}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string and spec.type is not mapping -%}
        {{- spec.type | join(" | ") -}}
    {%- elif spec.type == "string" -%}
        {%- if spec.enum -%}{{- '"' + spec.enum|join('" | "') + '"' -}}{%- else -%}{{- "string" -}}{%- endif -%}
    {%- elif spec.type in ["number", "integer"] -%}{{- "number" -}}
    {%- elif spec.type == "object" -%}
        {{- "{\\n" -}}
        {%- for name, inner in spec.properties.items() -%}
            {%- if inner.description -%}{{- "// " + inner.description + "\\n" -}}{%- endif -%}
            {{- name -}}
            {%- if name not in (spec.required or []) -%}{{- "?" -}}{%- endif -%}
            {{- ": " + render_type(inner, spec.required or []) -}}
            {%- if inner.default is defined -%}{{- ", // default: " ~ inner.default -}}{%- endif -%}
            {{- ",\\n" if not loop.last else "\\n" -}}
        {%- endfor -%}
        {{- "}" -}}
    {%- else -%}{{- "any" -}}{%- endif -%}
{%- endmacro -%}
{%- macro namespace_of(name, tools) -%}
    {{- "namespace " + name + " {\\n" }}
    {%- for tool in tools %}
        {%- set tool = tool.function %}
        {{- "// " + tool.description + "\\ntype " + tool.name + " = " }}
        {%- if tool.parameters and tool.parameters.properties %}
            {{- "(_: " ~ render_type(tool.parameters, []) ~ ") => any;\\n" }}
        {%- else %}
            {{- "() => any;\\n" }}
        {%- endif %}
    {%- endfor %}
    {{- "}" }}
{%- endmacro -%}
{%- if reasoning_effort is not defined %}{%- set reasoning_effort = "medium" %}{%- endif %}
{{- "<|start|>system<|message|>Date: " + strftime_now("%Y-%m-%d") + "\\nReasoning: " + reasoning_effort + "<|end|>" }}
{%- if tools %}{{- "<|start|>developer<|message|>" + namespace_of("functions", tools) + "<|end|>" }}{%- endif %}
{%- set last_tool_call = namespace(name=none) %}
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if "tool_calls" in message %}
            {%- set tool_call = message.tool_calls[0] %}
            {%- set tool_call = tool_call.function %}
            {{- "<|start|>assistant to=functions." ~ tool_call.name ~ "<|channel|>commentary json<|message|>" }}
            {{- tool_call.arguments|tojson ~ "<|call|>" }}
            {%- set last_tool_call.name = tool_call.name %}
        {%- elif loop.last and not add_generation_prompt %}
            {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|return|>" }}
        {%- else %}
            {{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" }}
            {%- set last_tool_call.name = none %}
        {%- endif %}
    {%- elif message.role == 'tool' -%}
        {%- if last_tool_call.name is none %}
            {{- raise_exception("a tool answered without being asked") }}
        {%- endif %}
        {{- "<|start|>functions." + last_tool_call.name + " to=assistant<|message|>" + message.content|tojson + "<|end|>" }}
    {%- elif message.role == 'user' -%}
        {{- "<|start|>user<|message|>" ~ (message.content if message.content is string else message.content|map(attribute="text")|join) ~ "<|end|>" }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|start|>assistant
{%- endif -%}
""",
    "white space": """line one
    {% for message in messages %}
  - {{ message.role }}
    {%+ if loop.last %} last{% endif %}

    {% endfor %}
  {# a comment #}
end
""",
    "python": """{{ none }} {{ true }} {{ [1, 2.5, 'a', none, {'k': "it's"}] }} {{ missing }}|
{{ 1.0 }} {{ 7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 7 / 2 }} {{ "ab" * 3 }} {{ [1] * 2 }}
{{ "a" ~ 1 ~ true ~ none }} {{ "x" if false }}|{{ "Hello World".upper().lower().title() }}
{{ " x ".strip() }}|{{ "a,b,c".split(",") | join("-") }}|{{ "aXbX".replace("X", "") }}|{{ "abc"[1:] }}|{{ "abc"[::-1] }}|{{ "abc"[-1] }}
{{ {"b": 1, "a": 2}.items() | list }} {{ {"b": 1, "a": 2} | dictsort }} {{ {"b": 1}.get("c", "none") }} {{ {"b": 1}.keys() | list }}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ loop.previtem | default("-") }}{{ i }}{{ loop.cycle("a", "b") }}{% else %}none{% endfor %}
{% set captured %}  in {{ 1 + 1 }}  {% endset %}[{{ captured | trim }}]
{{ "x" is string }} {{ 1 is number }} {{ {} is mapping }} {{ [] is iterable }} {{ none is none }} {{ missing is defined }} {{ missing is undefined }} {{ 'b' in 'abc' }} {{ 3 not in [1, 2] }}
{{ [3, 1, 2] | sort | first }} {{ [1, 2, 3] | last }} {{ ["a", "b"] | map("upper") | list }} {{ [1, 2, 3, 4] | select("even") | list }} {{ [0, 1] | reject("odd") | list }}
{{ {"é": ["\\u0001", "\\t\\"", 1e100, 0.00001, 12345678901234567890, [], {}]} | tojson }}
{{ {"b": {"é": 1}, "a": [1, {}]} | tojson(indent=2, ensure_ascii=True, sort_keys=True) }}{{ {"a": [1, 2]} | tojson(separators=(',', ':')) }}
{{ "one\\ntwo\\n\\nthree" | indent(2) }}|{{ "abc".startswith("a") and "abc".endswith("c") }}|{{ "abc" | length }}|{{ "%s" }}|{{ "pre-x".removeprefix("pre-") }}
{% macro twice(x, y="d") %}{{ x }}{{ y }}{% endmacro %}{{ twice("m") }}{{ twice("m", y="n") }}{% filter upper %}loud{% endfilter %}
{% with a = 5 %}{{ a }}{% endwith %}{% raw %}{{ raw }}{% endraw %}{{ "a" "b" }}{{ "tail" }}
""",
}

CASES = [
    ("headers", {"messages": PLAIN, "add_generation_prompt": True}),
    ("headers", {"messages": TOOLED, "tools": TOOLS}),
    ("headers", {"messages": PLAIN[1:], "date_string": "1 Jan 2000"}),
    ("headers", {"messages": [{"role": "assistant", "tool_calls": [CALL, CALL]}]}),
    ("brackets", {"messages": PLAIN}),
    ("brackets", {"messages": TOOLED[:4] + PLAIN[1:2], "tools": TOOLS}),
    ("brackets", {"messages": [PLAIN[1], PLAIN[1]], "strict": True}),
    ("chatml", {"messages": PLAIN, "add_generation_prompt": True, "enable_thinking": False}),
    ("chatml", {"messages": TOOLED, "tools": TOOLS, "add_generation_prompt": True}),
    ("chatml", {"messages": TOOLED[:4]}),
    ("channels", {"messages": PLAIN, "add_generation_prompt": True, "reasoning_effort": "high"}),
    ("channels", {"messages": TOOLED, "tools": TOOLS}),
    ("channels", {"messages": TOOLED[2:]}),
    ("white space", {"messages": PLAIN}),
    ("python", {"messages": []}),
]


def main() -> None:
    env = environment()
    cases = []
    for name, given in CASES:
        given = {"tools": None, "documents": None, "add_generation_prompt": False, **given}
        case = {"template": name, "given": {key: value for key, value in given.items() if key != "documents"}}
        try:
            case["rendered"] = env.from_string(TEMPLATES[name]).render(**SPECIAL, **given)
        except jinja2.exceptions.TemplateError as error:
            case["refused"] = str(error)
        cases.append(case)
    content = {"templates": TEMPLATES, "cases": cases}
    OUT.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    print(OUT.name, OUT.stat().st_size, sum("refused" in case for case in cases), "refused")


if __name__ == "__main__":
    main()
