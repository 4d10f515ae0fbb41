"""Chat templates in the manners of today's families, and what transformers makes of them.

    python tests/references/chat/make.py

Written for this test: each uses what the templates of some family use (trimmed blocks, Python's methods, namespaces, slices,
macros, loops that are left early).
"""

import json
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = {
    # A line of its own for each turn, a system turn where none is given.
    "lines": """{%- if messages[0]['role'] == 'system' %}
    {{- '<|start|>system\\n' + messages[0]['content'] + '<|stop|>\\n' }}
{%- else %}
    {{- '<|start|>system\\nYou help.<|stop|>\\n' }}
{%- endif %}
{%- for message in messages if message.role != 'system' %}
    {{- '<|start|>' ~ message.role ~ '\\n' ~ message.content ~ '<|stop|>' ~ '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant\\n' }}
{%- endif %}
""",
    # Headers, a date that nobody sets, tools that are not there.
    "headers": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "1 Jan 2026" %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|header|>system<|end|>\\n\\n" }}
{%- if tools is not none %}{{- "Tools: " + tools | tojson }}{%- endif %}
{{- "Today: " + date_string + "\\n\\n" + system_message + "<|eot|>" }}
{%- for message in messages %}
    {{- '<|header|>' + message['role'] + '<|end|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|header|>assistant<|end|>\\n\\n' }}{%- endif %}""",
    # Brackets, the system's words in front of the last message, roles that must alternate.
    "brackets": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"] + eos_token }}
    {%- endif %}
{%- endfor %}
""",
    # Other names for roles, and no system's words at all.
    "turns": """{{ bos_token }}
{% if messages[0]['role'] == 'system' %}
{{ raise_exception('System role not supported') }}
{% endif %}
{% for message in messages %}
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{ '<turn>' + role + '\\n' + message['content'] | trim + '<end>\\n' }}{% endfor %}
{% if add_generation_prompt %}
{{ '<turn>model\\n' }}{% endif %}""",
    # Thoughts that are asked for or not; the last question is looked for from behind.
    "thoughts": """{%- set ns = namespace(last=messages|length - 1, found=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == "user" and message.content is string and not(message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.found = true %}
        {%- set ns.last = index %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- macro turn(role, content) %}<|{{ role }}|>
{{ content.split('</think>')[-1].lstrip('\\n').rstrip() }}{% endmacro %}
{%- for message in messages %}
    {{- turn(message.role, message.content) }}
    {%- if loop.index0 == ns.last %}{{- ' (asked)' }}{%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
}
SYSTEM = " Answer in {few} words.\n"
USER = " Who built the bridge?\n\nPassage: <b>Ada & Holm</b> \"did\", in 1912. "


def main():
    reference = {}
    for name, template in TEMPLATES.items():
        case = {"template": template}
        for key, system in {"alone": "", "with_system": SYSTEM}.items():
            messages = [{"role": "user", "content": USER}]
            if system:
                messages.insert(0, {"role": "system", "content": system})
            values = {"bos_token": "<s>", "eos_token": "</s>", "enable_thinking": False, "add_generation_prompt": True}
            try:
                rendered, _ = render_jinja_template([messages], chat_template=template, **values)
                case[key] = rendered[0]
            except Exception as error:
                assert "not supported" in str(error), error
                case[key] = None
        reference[name] = case
    path = Path(__file__).with_name("reference.json")
    path.write_text(json.dumps({"system": SYSTEM, "user": USER, "cases": reference}, indent=1) + "\n")


if __name__ == "__main__":
    main()
