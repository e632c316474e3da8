//! Expressions on their own, as `if:` and `for_each:` have them: with or without braces. A name that does not exist is an error, not false.

use super::{ENVIRONMENT, TemplateContext, describe};
use serde_json::Value;

/// Whether the expression is true, as Jinja sees it: empty texts, lists and objects, 0, none and false are not.
pub fn condition(text: &str, context: &TemplateContext) -> Result<bool, String> {
    evaluated(text, &context.to_value()).map(|value| value.is_true())
}

/// The same for each item of a task, given as item, map index and number of the try. The other names are those of all.
pub fn conditions<'i>(
    text: &str,
    context: &TemplateContext,
    items: impl IntoIterator<Item = (&'i Value, i32, i32)>,
) -> Vec<Result<bool, String>> {
    let shared = context.to_value();
    let of = |(item, map_index, try_number): (&Value, i32, i32)| {
        let id = &context.task.id;
        let own = minijinja::context! {
            item => minijinja::Value::from_serialize(item),
            task => minijinja::context! { id => id, task_id => id, map_index, try_number },
            ti => minijinja::context! { task_id => id, map_index, try_number },
            ..shared.clone()
        };
        evaluated(text, &own).map(|value| value.is_true())
    };
    items.into_iter().map(of).collect()
}

/// Whether the expression names something below one of these roots. One that cannot be read does.
pub fn names_any(text: &str, roots: &[&str]) -> bool {
    let Ok(expression) = compiled(inner(text)) else { return true };
    expression.undeclared_variables(false).iter().any(|name| roots.contains(&name.as_str()))
}

/// What the expression gives.
pub fn evaluate(text: &str, context: &TemplateContext) -> Result<Value, String> {
    let value = evaluated(text, &context.to_value())?;
    serde_json::to_value(&value).map_err(|error| format!("'{}': {error}", inner(text)))
}

/// The expression without the braces around it.
pub(crate) fn inner(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}")) else { return text };
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    inner.strip_suffix('-').unwrap_or(inner).trim()
}

pub(super) fn compiled(text: &str) -> Result<minijinja::Expression<'static, 'static>, Syntax> {
    // An end mark inside: minijinja's lexer of single expressions panics at it.
    if let Some(mark) = ["{{", "}}", "{%", "%}", "{#", "#}"].iter().find(|mark| text.contains(*mark)) {
        let offset = text.find(mark).unwrap_or(0);
        return Err(Syntax {
            offset,
            message: format!("'{mark}' inside an expression; write one expression"),
        });
    }
    ENVIRONMENT.compile_expression_owned(text.to_owned()).map_err(|error| Syntax {
        offset: error.range().map_or(0, |range| range.start),
        message: error.detail().unwrap_or("syntax error").to_owned(),
    })
}

pub(super) struct Syntax {
    /// In bytes.
    pub offset: usize,
    pub message: String,
}

fn evaluated(text: &str, names: &minijinja::Value) -> Result<minijinja::Value, String> {
    let text = inner(text);
    let expression =
        compiled(text).map_err(|syntax| format!("'{text}' is no valid expression: {}", syntax.message))?;
    let missing = || {
        let mut used: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
        used.sort_unstable();
        let path = used.into_iter().find(|path| !exists(path, names) && !is_called(path, text));
        path.unwrap_or_else(|| text.to_owned())
    };
    let not_defined = || {
        let path = missing();
        format!("'{path}' is not defined; '{path} | default(..)' says what it is then")
    };
    match expression.eval(names) {
        Ok(value) if value.is_undefined() => Err(not_defined()),
        Ok(value) => Ok(value),
        Err(error) if error.kind() == minijinja::ErrorKind::UndefinedError => Err(not_defined()),
        Err(error) => Err(describe(&error)),
    }
}

fn exists(path: &str, names: &minijinja::Value) -> bool {
    let mut parts = path.split('.');
    let Some(root) = parts.next() else { return true };
    if ENVIRONMENT.globals().any(|(global, _)| global == root) {
        return true;
    }
    let mut value = names.get_attr(root).unwrap_or_default();
    for part in parts {
        if value.is_undefined() || value.is_none() {
            return false;
        }
        value = value.get_attr(part).unwrap_or_default();
    }
    !value.is_undefined()
}

/// A method, not a value: `logical_date.strftime('%Y')`.
fn is_called(path: &str, text: &str) -> bool {
    text.match_indices(path).any(|(at, _)| text[at + path.len()..].trim_start().starts_with('('))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn context() -> TemplateContext {
        let outputs = BTreeMap::from([
            ("probe".to_owned(), json!({ "rows": 12, "none": null, "files": ["a", "b"] })),
            ("in.one".to_owned(), json!({ "rows": 3 })),
        ]);
        TemplateContext {
            params: json!({ "full": true, "empty": "" }),
            outputs,
            ..TemplateContext::default()
        }
    }

    #[test]
    fn conditions_are_true_or_false_as_in_jinja() {
        let table = [
            ("params.full and tasks.probe.outputs.rows > 10", true),
            ("{{ params.full and tasks.probe.outputs.rows > 12 }}", false),
            ("{{- params.empty -}}", false),
            ("tasks.probe.outputs.files", true),
            ("tasks.probe.outputs.none", false),
            ("'b' in tasks.probe.outputs.files", true),
            ("tasks.in.one.outputs.rows == 3 and tasks['in.one'].outputs.rows == 3", true),
            ("not params.full", false),
            ("tasks.probe.outputs.missing | default(0) > 3", false),
            ("tasks.probe.outputs.missing is defined", false),
            ("not params.full and tasks.probe.outputs.missing > 3", false),
            ("range(3) | length == 3", true),
            ("0", false),
        ];
        for (text, expected) in table {
            assert_eq!(condition(text, &context()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_an_error_even_where_jinja_compares_it() {
        for (text, cause) in [
            ("params.ful == 3", "'params.ful' is not defined"),
            ("tasks.probe.outputs.row != 3", "'tasks.probe.outputs.row' is not defined"),
            ("nope", "'nope' is not defined"),
            ("not params.full or params.x", "'params.x' is not defined"),
            ("3 in tasks.probe.outputs.row", "'tasks.probe.outputs.row' is not defined"),
            ("params.full and", "is no valid expression"),
            ("{{ params.full }} or {{ params.full }}", "inside an expression"),
            ("", "is no valid expression"),
        ] {
            let error = condition(text, &context()).unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
