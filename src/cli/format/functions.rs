//! The functions that docker's and podman's templates have besides Go's own.
//!
//! Pure. For rows they do what their names say; for the header of a table each gives back what it got, so that
//! `table {{upper .ID}}` still is headed `IMAGE ID`. The surprise: `index` is ours too, because a label that is not there is the
//! empty string in docker, which scripts test for.

use std::sync::Arc;

use gotmpl::{FuncMap, TemplateError, Value, ValueFunc};
use serde_json::{Map, Number};

/// Go's own limit for a width in printf is of this order, too.
const WIDEST_PAD: i64 = 65_535;

type Answer = Result<Value, TemplateError>;

type Function = fn(&[Value]) -> Answer;

const ALL: [(&str, Function); 10] = [
    ("json", |args| Ok(text(json(one(args, "json")?).to_string()))),
    ("lower", |args| Ok(text(string(args, 0, "lower")?.to_lowercase()))),
    ("upper", |args| Ok(text(string(args, 0, "upper")?.to_uppercase()))),
    ("title", |args| Ok(text(title(string(args, 0, "title")?)))),
    ("split", split),
    ("join", join),
    ("pad", pad),
    ("truncate", truncate),
    ("index", index),
    ("label", label),
];

/// For rows.
pub(super) fn of_rows() -> FuncMap {
    ALL.into_iter().map(|(name, function)| (name.to_owned(), Arc::new(function) as ValueFunc)).collect()
}

/// Whether there is one of this name, for rows and headers both.
pub(super) fn is(name: &str) -> bool {
    ALL.iter().any(|(known, _)| *known == name)
}

/// For headers.
pub(super) fn of_headers() -> FuncMap {
    let same = |args: &[Value]| args.iter().find(|value| value.is_truthy()).cloned().ok_or_else(|| bad("no value"));
    let mut all: FuncMap = ALL.into_iter().map(|(name, _)| (name.to_owned(), Arc::new(same) as ValueFunc)).collect();
    // Of `com.example.some-label`, SOME LABEL.
    let last = |args: &[Value]| {
        let name = string(args, 1, "label")?;
        Ok(text(name.rsplit('.').next().unwrap_or(name).replace(['-', '_'], " ").to_uppercase()))
    };
    all.insert("label".to_owned(), Arc::new(last));
    all
}

/// Of a row, whose labels are a map, or docker's text of them.
fn label(args: &[Value]) -> Answer {
    let name = string(args, 1, "label")?;
    let Some(Value::Map(row)) = args.first() else { return Err(bad("Label: expected a row")) };
    let found = match row.get("Labels") {
        Some(Value::Map(labels)) => labels.get(name).map(Value::to_string),
        Some(Value::String(labels)) => {
            let mut pairs = labels.split(',').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs.find_map(|(key, value)| (key == name).then(|| value.to_owned()))
        }
        _ => None,
    };
    Ok(text(found.unwrap_or_default()))
}

fn split(args: &[Value]) -> Answer {
    let (whole, separator) = (string(args, 0, "split")?, string(args, 1, "split")?);
    // Rust's split at "" has empty ends, Go's has not.
    let parts: Vec<Value> = match separator {
        "" => whole.chars().map(|character| text(character.to_string())).collect(),
        _ => whole.split(separator).map(|part| text(part.to_owned())).collect(),
    };
    Ok(Value::List(parts.into()))
}

fn join(args: &[Value]) -> Answer {
    let separator = string(args, 1, "join")?;
    match one_of(args, 0, "join")? {
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            Ok(text(items.join(separator)))
        }
        Value::Nil => Ok(text(String::new())),
        other => Err(bad(format!("join: expected a list, got {other}"))),
    }
}

fn pad(args: &[Value]) -> Answer {
    let whole = string(args, 0, "pad")?;
    let (before, after) = (count(args, 1, "pad")?, count(args, 2, "pad")?);
    if whole.is_empty() {
        return Ok(text(String::new()));
    }
    Ok(text(format!("{}{whole}{}", " ".repeat(before), " ".repeat(after))))
}

fn truncate(args: &[Value]) -> Answer {
    let (whole, most) = (string(args, 0, "truncate")?, count(args, 1, "truncate")?);
    Ok(text(whole.chars().take(most).collect()))
}

fn index(args: &[Value]) -> Answer {
    let (first, indexes) = args.split_first().ok_or_else(|| bad("index: expected a value"))?;
    let mut value = first.clone();
    for index in indexes {
        let absent = match (&value, index) {
            // Only where all values are strings: of other maps, Go's answer is <no value>.
            (Value::Map(map), Value::String(key)) => {
                !map.contains_key(key.as_ref()) && map.values().all(|value| matches!(value, Value::String(_)))
            }
            (Value::Nil, Value::String(_)) => true,
            _ => false,
        };
        value = if absent { text(String::new()) } else { value.index(index)? };
    }
    Ok(value)
}

/// Each word with a capital, as Go's strings.Title has it.
fn title(whole: &str) -> String {
    let mut inside = false;
    let mut titled = String::with_capacity(whole.len());
    for character in whole.chars() {
        if inside {
            titled.push(character);
        } else {
            titled.extend(character.to_uppercase());
        }
        inside = character.is_alphanumeric() || character == '_';
    }
    titled
}

/// A template's value as JSON.
fn json(value: &Value) -> serde_json::Value {
    match value {
        value if super::nils::is_nil(value) => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) => (*value).into(),
        Value::Float(value) => Number::from_f64(*value).map_or(serde_json::Value::Null, Into::into),
        Value::String(value) => (&**value).into(),
        Value::List(items) => items.iter().map(json).collect::<Vec<_>>().into(),
        Value::Map(map) => map.iter().map(|(key, value)| (key.to_string(), json(value))).collect::<Map<_, _>>().into(),
        Value::Nil | Value::Function(_) => serde_json::Value::Null,
    }
}

fn one<'a>(args: &'a [Value], function: &str) -> Result<&'a Value, TemplateError> {
    one_of(args, 0, function)
}

fn one_of<'a>(args: &'a [Value], place: usize, function: &str) -> Result<&'a Value, TemplateError> {
    args.get(place).ok_or_else(|| bad(format!("{function}: expected more arguments than {}", args.len())))
}

fn string<'a>(args: &'a [Value], place: usize, function: &str) -> Result<&'a str, TemplateError> {
    let value = one_of(args, place, function)?;
    value.as_str().ok_or_else(|| bad(format!("{function}: expected a string, got {value}")))
}

fn count(args: &[Value], place: usize, function: &str) -> Result<usize, TemplateError> {
    let value = one_of(args, place, function)?;
    let number = value.as_int().filter(|number| (0..=WIDEST_PAD).contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| bad(format!("{function}: expected a number from 0 to {WIDEST_PAD}, got {value}")))
}

fn text(text: String) -> Value {
    Value::String(text.into())
}

fn bad(message: impl Into<String>) -> TemplateError {
    TemplateError::Exec(message.into())
}
