{#- Keys that several models must compute alike. -#}
{% macro location_key(city, state, zip) -%}
{{ dbt_utils.generate_surrogate_key([city, state, zip]) }}
{%- endmacro %}

{% macro artist_key(name) -%}
{{ dbt_utils.generate_surrogate_key([name]) }}
{%- endmacro %}

{% macro song_key(song_id) -%}
{{ dbt_utils.generate_surrogate_key([song_id]) }}
{%- endmacro %}

{% macro user_key(user_id, level, since) -%}
{{ dbt_utils.generate_surrogate_key([user_id, level, since]) }}
{%- endmacro %}

{#- The row that stands for everybody who is not logged in. -#}
{% macro anonymous_user_key() -%}
{{ user_key('0', "'NA'", "timestamp '1970-01-01 00:00:00'") }}
{%- endmacro %}

{% macro unknown_song_key() -%}
{{ song_key("'NA'") }}
{%- endmacro %}

{% macro unknown_artist_key() -%}
{{ artist_key("'NA'") }}
{%- endmacro %}
