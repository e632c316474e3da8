{#- The part of dbt_utils that models use. A null and an empty text have different keys, as in dbt_utils 1.x. -#}
{%- import 'dbt' as dbt -%}
{%- macro generate_surrogate_key(field_list) -%}
{{ dbt.md5_hex_open() }}{% for field in field_list %}coalesce(cast({{ field }} as {{ dbt.type_string() }}), '_dbt_utils_surrogate_key_null_'){% if not loop.last %} || '-' || {% endif %}{% endfor %}{{ dbt.md5_hex_close() }}
{%- endmacro -%}
