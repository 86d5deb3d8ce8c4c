//! Lists and maps that docker has as nil: `null` in JSON, but `[]` and `map[]` in a template, which also counts and loops over them.
//!
//! Pure. Owns their names. The surprise: the empty list that stands for a nil one is told from others by its address, so that
//! `{{json .Config.Cmd}}` still is `null`.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gotmpl::Value;

const LISTS: [&str; 13] = [
    "Aliases",
    "Cmd",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "Links",
    "OnBuild",
    "RepoDigests",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
    "VolumesFrom",
];
const MAPS: [&str; 5] = ["DriverOpts", "ExposedPorts", "Labels", "StorageOpt", "Volumes"];
/// Its values are lists, of which those are nil that lead nowhere.
const OF_LISTS: &str = "Ports";

type Map = BTreeMap<Arc<str>, Value>;

static LIST: LazyLock<Arc<[Value]>> = LazyLock::new(|| Arc::new([]));
static MAP: LazyLock<Arc<Map>> = LazyLock::new(Arc::default);

/// A row with its nil lists and maps.
pub(super) fn typed(value: Value) -> Value {
    match value {
        Value::Map(map) => {
            Value::Map(Arc::new(map.iter().map(|(key, value)| (key.clone(), field(key, value))).collect()))
        }
        Value::List(items) if !items.is_empty() => Value::List(items.iter().cloned().map(typed).collect()),
        other => other,
    }
}

fn field(name: &str, value: &Value) -> Value {
    match value {
        Value::Nil if LISTS.contains(&name) => Value::List(LIST.clone()),
        Value::Nil if MAPS.contains(&name) => Value::Map(MAP.clone()),
        Value::Map(map) if name == OF_LISTS => {
            let list =
                |value: &Value| if matches!(value, Value::Nil) { Value::List(LIST.clone()) } else { value.clone() };
            Value::Map(Arc::new(map.iter().map(|(key, value)| (key.clone(), list(value))).collect()))
        }
        other => typed(other.clone()),
    }
}

/// Whether it stands for `null`.
pub(super) fn is_nil(value: &Value) -> bool {
    match value {
        Value::Nil => true,
        Value::List(items) => Arc::ptr_eq(items, &LIST),
        Value::Map(map) => Arc::ptr_eq(map, &MAP),
        _ => false,
    }
}
