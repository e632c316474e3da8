{#- The catalogue and the events write names with stray quotes and backslashes; both sides are compared without them. -#}
{% macro clean_name(column) -%}
replace(replace({{ column }}, '"', ''), '\', '')
{%- endmacro %}
