//! Jinja2 as Hugging Face runs chat templates: its functions and methods, and operators that ask the budget.

use minijinja::value::{Rest, Tuple, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value, context};
use minijinja_contrib::pycompat;

use super::Clock;
use super::budget::{size, spend, weigh};
use super::compile::{ADD, CONCATENATE, LIST, MAP, MULTIPLY, TUPLE};
use super::error::Raised;
use super::filters;
use super::write::python_str;

/// Everything a template finds; nothing reaches outside.
pub(super) fn environment(clock: Clock) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_formatter(|out, state, value| {
        let text = python_str(state, value)?;
        out.write_str(&text).map_err(Error::from)
    });
    environment.set_unknown_method_callback(method);
    environment.add_function(ADD, add);
    environment.add_function(MULTIPLY, multiply);
    environment.add_function(CONCATENATE, concatenate);
    environment
        .add_function(LIST, |state: &mut State, items: Rest<Value>| weighed(state, items).map(Value::from));
    environment.add_function(TUPLE, |state: &mut State, items: Rest<Value>| {
        weighed(state, items).map(|items| Value::from(Tuple::from(items)))
    });
    environment.add_function(MAP, |state: &mut State, items: Rest<Value>| {
        let items = weighed(state, items)?;
        let pairs = items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        Ok::<_, Error>(Value::from_pairs(pairs))
    });
    // `dict(a=x, b=x)` would nest without asking; `{'a': x, 'b': x}` does the same.
    environment.remove_global("dict");
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", move |format: &str| strftime(clock, format));
    environment.remove_global("debug");
    filters::install(&mut environment);
    environment
}

fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(message.to_owned())))
}

fn strftime(clock: Clock, format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, clock.0)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}")))
}

fn weighed(state: &mut State, items: Rest<Value>) -> Result<Vec<Value>, Error> {
    items.iter().try_for_each(|item| weigh(state, item, 1))?;
    Ok(items.0)
}

fn add(state: &mut State, left: Value, right: Value) -> Result<Value, Error> {
    spend(state, size(&left).saturating_add(size(&right)))?;
    plainly(state, "a + b", left, right)
}

fn multiply(state: &mut State, left: Value, right: Value) -> Result<Value, Error> {
    let times = |value: &Value| value.as_usize().unwrap_or(1).max(1);
    let bytes = size(&left).saturating_mul(times(&right)).max(size(&right).saturating_mul(times(&left)));
    spend(state, bytes)?;
    plainly(state, "a * b", left, right)
}

fn concatenate(state: &mut State, left: Value, right: Value) -> Result<Value, Error> {
    let mut text = python_str(state, &left)?;
    text += &python_str(state, &right)?;
    Ok(Value::from(text))
}

/// minijinja's own operator, which has no other name; this expression is not metered again.
fn plainly(state: &State, expression: &'static str, a: Value, b: Value) -> Result<Value, Error> {
    state.env().compile_expression(expression)?.eval(context! { a, b })
}

/// Python's methods of text, lists and maps.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        match (name, args) {
            ("replace", [from, to]) => return filters::replace(state, value, from, to),
            ("join", [items]) => return filters::join_items(state, items, text),
            ("removeprefix", [prefix]) => {
                return Ok(Value::from(text.strip_prefix(string(prefix)?).unwrap_or(text)));
            }
            ("removesuffix", [suffix]) => {
                return Ok(Value::from(text.strip_suffix(string(suffix)?).unwrap_or(text)));
            }
            // Widths in format strings and limited replacement are not metered.
            ("format" | "replace" | "join", _) => return Err(Error::from(ErrorKind::UnknownMethod)),
            _ => {}
        }
    }
    let result = pycompat::unknown_method_callback(state, value, name, args)?;
    spend(state, size(&result))?;
    Ok(result)
}

pub(super) fn string(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "a string is needed here"))
}

/// A filter of minijinja whose result is no more than a few times its input, and is paid for.
pub(super) fn paid(filter: Value) -> impl Fn(&mut State, Rest<ValueOrKwargs>) -> Result<Value, Error> {
    move |state, args| {
        let result = filter.call(state, &args.into_values())?;
        spend(state, size(&result))?;
        Ok(result)
    }
}
