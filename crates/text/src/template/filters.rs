//! The filters that chat templates have, each paying for what it makes. Those whose output a number in the template can
//! blow up are written here; the others come from minijinja.

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value, filters as builtin};

use super::budget::spend;
use super::dialect::{paid, string};
use super::write::{Json, python_str};

/// Widest indentation of `tojson` and `indent`, spaces.
const MAX_INDENT: usize = 64;

pub(super) fn install(environment: &mut Environment<'static>) {
    for unmetered in ["batch", "slice", "format", "pprint", "zip", "chain", "groupby"] {
        environment.remove_filter(unmetered);
    }
    let metered = [
        ("list", Value::from_function(builtin::list)),
        ("map", Value::from_function(builtin::map)),
        ("select", Value::from_function(builtin::select)),
        ("reject", Value::from_function(builtin::reject)),
        ("selectattr", Value::from_function(builtin::selectattr)),
        ("rejectattr", Value::from_function(builtin::rejectattr)),
        ("reverse", Value::from_function(builtin::reverse)),
        ("sort", Value::from_function(builtin::sort)),
        ("unique", Value::from_function(builtin::unique)),
        ("dictsort", Value::from_function(builtin::dictsort)),
        ("items", Value::from_function(builtin::items)),
        ("split", Value::from_function(builtin::split)),
        ("lines", Value::from_function(builtin::lines)),
        ("trim", Value::from_function(builtin::trim)),
        ("upper", Value::from_function(builtin::upper)),
        ("lower", Value::from_function(builtin::lower)),
        ("title", Value::from_function(builtin::title)),
        ("capitalize", Value::from_function(builtin::capitalize)),
        ("escape", Value::from_function(builtin::escape)),
        ("e", Value::from_function(builtin::escape)),
        ("safe", Value::from_function(builtin::safe)),
    ];
    for (name, filter) in metered {
        environment.add_filter(name, paid(filter));
    }
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", to_string);
    environment.add_filter("join", join);
    environment.add_filter("indent", indent);
    environment.add_filter("replace", |state: &mut State, text: &Value, from: &Value, to: &Value| {
        replace(state, text, from, to)
    });
}

/// Hugging Face's `tojson`: Python's `json.dumps` without HTML escapes.
fn to_json(state: &mut State, value: &Value, ascii: Option<bool>, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    if indent.is_some_and(|indent| indent > MAX_INDENT) {
        return Err(too_wide());
    }
    let separators: Option<Vec<String>> = options.get("separators")?;
    let separators = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        _ if indent.is_some() => (",".into(), ": ".into()),
        _ => (", ".into(), ": ".into()),
    };
    let json = Json {
        indent,
        ascii: ascii.or(options.get("ensure_ascii")?).unwrap_or(false),
        separators,
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    json.write(state, value).map(Value::from)
}

fn to_string(state: &mut State, value: &Value) -> Result<Value, Error> {
    python_str(state, value).map(Value::from)
}

fn join(
    state: &mut State,
    items: &Value,
    joiner: Option<&str>,
    attribute: Option<&str>,
    options: Kwargs,
) -> Result<Value, Error> {
    let named: Option<&str> = options.get("attribute")?;
    let spaced: Option<&str> = options.get("d")?;
    options.assert_all_used()?;
    let joiner = joiner.or(spaced).unwrap_or_default();
    match attribute.or(named) {
        None => join_items(state, items, joiner),
        Some(name) => {
            let fields: Result<Vec<Value>, Error> =
                items.try_iter()?.map(|item| item.get_attr(name)).collect();
            join_items(state, &Value::from(fields?), joiner)
        }
    }
}

/// `joiner.join(items)`.
pub(super) fn join_items(state: &mut State, items: &Value, joiner: &str) -> Result<Value, Error> {
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        if index > 0 {
            spend(state, joiner.len())?;
            out.push_str(joiner);
        }
        out += &python_str(state, &item)?;
    }
    Ok(Value::from(out))
}

/// `text.replace(from, to)`.
pub(super) fn replace(state: &mut State, text: &Value, from: &Value, to: &Value) -> Result<Value, Error> {
    let text = python_str(state, text)?;
    let (from, to) = (string(from)?, string(to)?);
    spend(state, text.len().saturating_add(text.matches(from).count().saturating_mul(to.len())))?;
    Ok(Value::from(text.replace(from, to)))
}

/// Jinja2's `indent`: spaces before every line but the first and the empty ones, unless asked otherwise.
fn indent(
    state: &mut State,
    text: &str,
    width: Option<usize>,
    first: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let width = width.or(options.get("width")?).unwrap_or(4);
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = options.get::<Option<bool>>("blank")?.unwrap_or(false);
    options.assert_all_used()?;
    if width > MAX_INDENT {
        return Err(too_wide());
    }
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        spend(state, line.len() + width + 1)?;
        if index > 0 {
            out.push('\n');
        }
        if (index > 0 || first) && (blank || !line.is_empty()) {
            out.extend(std::iter::repeat_n(' ', width));
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn too_wide() -> Error {
    Error::new(ErrorKind::OutOfFuel, format!("an indentation of more than {MAX_INDENT} spaces was asked for"))
}
