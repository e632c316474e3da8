use super::*;
use crate::schema::Field;

fn schema() -> TopicSchema {
    let field = |name: &str, kind, required| Field { name: name.into(), kind, required };
    TopicSchema::new(
        "t",
        vec![
            field("ts", FieldType::Int, true),
            field("song", FieldType::String, false),
            field("duration", FieldType::Double, false),
            field("success", FieldType::Boolean, false),
        ],
    )
    .unwrap()
}

fn reason(payload: &[u8]) -> String {
    parse(&schema(), payload).unwrap_err()
}

#[test]
fn fields_are_read_in_any_order_and_absent_ones_are_null() {
    let schema = schema();
    let event = parse(&schema, br#"{"success":true,"ts":1000,"song":"caf\u00e9"}"#).unwrap();
    let expected = [Value::Int(1000), Value::Text("caf\u{e9}".into()), Value::Null, Value::Boolean(true)];
    assert_eq!((event.values.as_slice(), event.time), (&expected[..], 1000));
}

#[test]
fn whole_numbers_fit_doubles_and_exact_doubles_fit_ints() {
    let schema = schema();
    let event = parse(&schema, br#"{"ts":1e3,"duration":7}"#).unwrap();
    assert_eq!(event.values[..3], [Value::Int(1000), Value::Null, Value::Double(7.0)]);
}

#[test]
fn unknown_fields_are_kept() {
    let schema = schema();
    let event = parse(&schema, br#"{"ts":1,"tag":"B","nested":{"a":[1,null]}}"#).unwrap();
    let kept = serde_json::Value::Object(event.unknown);
    assert_eq!(kept, serde_json::json!({"tag": "B", "nested": {"a": [1, null]}}));
}

#[test]
fn what_is_not_json_is_called_that() {
    for payload in [
        &b""[..],
        b"{",
        b"not json",
        b"{\"ts\":1}trailing",
        b"{\"ts\":1,}",
        b"\xff\xfe",
        b"{\"song\":\"\xff\",\"ts\":1}",
    ] {
        let reason = reason(payload);
        assert!(reason.starts_with("not JSON: "), "{payload:?}: {reason}");
    }
    let deep = [b"{\"x\":".to_vec(), vec![b'['; 100_000]].concat();
    assert!(reason(&deep).starts_with("not JSON: recursion limit"));
}

#[test]
fn a_wrong_type_names_the_field_and_both_types() {
    let cases = [
        (r#"{"ts":"1"}"#, "string \"1\", expected int for field `ts`"),
        (r#"{"ts":1.5}"#, "floating point `1.5`, expected int for field `ts`"),
        (r#"{"ts":18446744073709551615}"#, "expected int for field `ts`"),
        (r#"{"ts":1,"song":5}"#, "integer `5`, expected string for field `song`"),
        (r#"{"ts":1,"song":{"a":1}}"#, "map, expected string for field `song`"),
        (r#"{"ts":1,"song":[1]}"#, "sequence, expected string for field `song`"),
        (r#"{"ts":1,"success":"true"}"#, "expected boolean for field `success`"),
        (r#"[1]"#, "sequence, expected an object"),
        ("5", "integer `5`, expected an object"),
    ];
    for (payload, expected) in cases {
        let reason = reason(payload.as_bytes());
        assert!(
            reason.starts_with("does not fit the schema: ") && reason.contains(expected),
            "{payload}: {reason}"
        );
    }
}

#[test]
fn a_missing_or_null_required_field_is_named() {
    for payload in [r#"{}"#, r#"{"ts":null}"#] {
        assert_eq!(reason(payload.as_bytes()), "required field `ts` is missing or null");
    }
}
