//! What comes over Kafka and what people write as schemas, mutated: a record is an event or a dead letter with a reason, never a panic.

use crate::event::{Value, parse};
use crate::schema_file::parse_schema;
use testkit::fuzz::{Fuzz, files};

#[test]
fn fuzz_events() {
    let text = String::from_utf8(files("dags/streamify/schemas", "listen_events.yaml").remove(0)).unwrap();
    let schema = parse_schema("listen_events", "listen_events.yaml", &text).unwrap();
    let line = r#"{"ts":1771257600000,"userId":17,"sessionId":3,"level":"paid","itemInSession":2,"city":"Z\u00fcrich","zip":"8001","state":"ZH","userAgent":"Mozilla/5.0","lon":8.54,"lat":47.37,"lastName":"Muster","firstName":"Eva","gender":"F","registration":1760000000000,"artist":"A","song":"S","duration":191.2,"auth":"Logged In","success":true}"#;
    let corpus = vec![
        line.into(),
        br#"{"ts":1}"#.to_vec(),
        br#"{"ts":1e3,"nested":{"a":[1,null,{"b":"c"}]}}"#.to_vec(),
    ];
    let mut accepted = 0;
    Fuzz::new("events", corpus, 5_000).run(|bytes| match parse(&schema, bytes) {
        Ok(event) => {
            accepted += 1;
            assert_eq!(event.values.len(), schema.fields().len());
            for (field, value) in schema.fields().iter().zip(&event.values) {
                assert!(!field.required || *value != Value::Null, "{} is required", field.name);
            }
        }
        Err(reason) => assert!(!reason.is_empty(), "a dead letter without a reason"),
    });
    assert!(accepted > 0, "records that are all refused search nothing");
}

#[test]
fn fuzz_schemas() {
    Fuzz::new("schemas", files("dags/streamify/schemas", ".yaml"), 400).run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = parse_schema("t", "t.yaml", &text).map_err(|problems| assert!(!problems.is_empty()));
    });
}
