{#- dbt's cross-database macros, as DuckDB says them. -#}
{%- macro date_trunc(datepart, date) -%} date_trunc('{{ datepart }}', {{ date }}) {%- endmacro -%}
{%- macro dateadd(datepart, interval, from_date_or_timestamp) -%} date_add({{ from_date_or_timestamp }}, interval ({{ interval }}) {{ datepart }}) {%- endmacro -%}
{%- macro datediff(first_date, second_date, datepart) -%} date_diff('{{ datepart }}', {{ first_date }}, {{ second_date }}) {%- endmacro -%}
{%- macro md5_hex_open() -%} md5( {%- endmacro -%}
{%- macro md5_hex_close() -%} ) {%- endmacro -%}
{%- macro hash(field) -%} md5(cast({{ field }} as varchar)) {%- endmacro -%}
{%- macro concat(fields) -%} ({{ fields | join(' || ') }}) {%- endmacro -%}
{%- macro cast(field, type) -%} cast({{ field }} as {{ type }}) {%- endmacro -%}
{%- macro safe_cast(field, type) -%} try_cast({{ field }} as {{ type }}) {%- endmacro -%}
{%- macro split_part(string_text, delimiter_text, part_number) -%} split_part({{ string_text }}, {{ delimiter_text }}, {{ part_number }}) {%- endmacro -%}
{%- macro current_timestamp() -%} cast(now() as timestamp) {%- endmacro -%}
{%- macro type_string() -%} varchar {%- endmacro -%}
{%- macro type_int() -%} integer {%- endmacro -%}
{%- macro type_bigint() -%} bigint {%- endmacro -%}
{%- macro type_float() -%} double {%- endmacro -%}
{%- macro type_numeric() -%} decimal(28, 6) {%- endmacro -%}
{%- macro type_boolean() -%} boolean {%- endmacro -%}
{%- macro type_timestamp() -%} timestamp {%- endmacro -%}
{#- Beyond dbt's own set: epochs and calendars, where dialects differ silently. -#}
{%- macro timestamp_from_millis(millis) -%} make_timestamp(({{ millis }}) * 1000) {%- endmacro -%}
{%- macro epoch_seconds(timestamp) -%} cast(epoch({{ timestamp }}) as bigint) {%- endmacro -%}
{%- macro day_of_week(timestamp) -%} (extract(dow from {{ timestamp }}) + 1) {%- endmacro -%}
{%- macro week_of_year(timestamp) -%} extract(week from {{ timestamp }}) {%- endmacro -%}
{%- macro hour_spine(first, last) -%} (select unnest(generate_series({{ first }}, {{ last }}, interval 1 hour)) as hour) {%- endmacro -%}
