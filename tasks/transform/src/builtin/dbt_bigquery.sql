{#- dbt's cross-database macros, as BigQuery says them. All times are TIMESTAMP, in UTC. -#}
{%- macro date_trunc(datepart, date) -%} timestamp_trunc({{ date }}, {{ 'isoweek' if datepart == 'week' else datepart }}) {%- endmacro -%}
{%- macro dateadd(datepart, interval, from_date_or_timestamp) -%} timestamp(datetime_add(datetime({{ from_date_or_timestamp }}), interval ({{ interval }}) {{ datepart }})) {%- endmacro -%}
{%- macro datediff(first_date, second_date, datepart) -%} datetime_diff(datetime({{ second_date }}), datetime({{ first_date }}), {{ 'isoweek' if datepart == 'week' else datepart }}) {%- endmacro -%}
{%- macro md5_hex_open() -%} to_hex(md5( {%- endmacro -%}
{%- macro md5_hex_close() -%} )) {%- endmacro -%}
{%- macro hash(field) -%} to_hex(md5(cast({{ field }} as string))) {%- endmacro -%}
{%- macro concat(fields) -%} ({{ fields | join(' || ') }}) {%- endmacro -%}
{%- macro cast(field, type) -%} cast({{ field }} as {{ type }}) {%- endmacro -%}
{%- macro safe_cast(field, type) -%} safe_cast({{ field }} as {{ type }}) {%- endmacro -%}
{%- macro split_part(string_text, delimiter_text, part_number) -%} coalesce(split({{ string_text }}, {{ delimiter_text }})[safe_ordinal({{ part_number }})], '') {%- endmacro -%}
{%- macro current_timestamp() -%} current_timestamp() {%- endmacro -%}
{%- macro type_string() -%} string {%- endmacro -%}
{%- macro type_int() -%} int64 {%- endmacro -%}
{%- macro type_bigint() -%} int64 {%- endmacro -%}
{%- macro type_float() -%} float64 {%- endmacro -%}
{%- macro type_numeric() -%} numeric {%- endmacro -%}
{%- macro type_boolean() -%} bool {%- endmacro -%}
{%- macro type_timestamp() -%} timestamp {%- endmacro -%}
{#- Beyond dbt's own set: epochs and calendars, where dialects differ silently. -#}
{%- macro timestamp_from_millis(millis) -%} timestamp_millis({{ millis }}) {%- endmacro -%}
{%- macro epoch_seconds(timestamp) -%} unix_seconds({{ timestamp }}) {%- endmacro -%}
{%- macro day_of_week(timestamp) -%} extract(dayofweek from {{ timestamp }}) {%- endmacro -%}
{%- macro week_of_year(timestamp) -%} extract(isoweek from {{ timestamp }}) {%- endmacro -%}
{%- macro hour_spine(first, last) -%} (select hour from unnest(generate_timestamp_array({{ first }}, {{ last }}, interval 1 hour)) as hour) {%- endmacro -%}
