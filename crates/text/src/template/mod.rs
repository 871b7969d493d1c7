//! Chat templates: a conversation becomes the text that a model was trained to see.
//!
//! Templates come with models and are written in Jinja2 as Hugging Face runs it. They are programs from strangers, so
//! they run without a loader, on a thread of their own with a stack that nesting cannot exhaust, and within a budget of
//! steps and of bytes. Time is an input: the same conversation and [`Clock`] give the same text.

mod budget;
mod compile;
mod dialect;
mod error;
mod filters;
mod json;
mod write;

use jiff::civil::DateTime;
use minijinja::machinery::{eval, make_string_output};
use minijinja::{AutoEscape, Environment, Value};
use serde_json::{Map, Value as Json};

pub use error::TemplateError;
pub(crate) use json::map_strings;

/// Longest template, bytes; the largest known ones take about 20 thousand.
pub const MAX_TEMPLATE_BYTES: usize = 256 << 10;
/// Longest rendered conversation, bytes.
pub const MAX_RENDERED_BYTES: usize = 1 << 20;

/// Instructions that one rendering may run; a long conversation takes some ten thousand.
const FUEL: u64 = 500_000;
/// Stack of the rendering thread, bytes: room for what the engine does by recursion (calls, parentheses, nested values),
/// whatever thread asked. Only touched pages are real.
const STACK_BYTES: usize = 64 << 20;
/// Deepest nesting of macro calls and recursive loops.
const MAX_CALLS: usize = 200;

/// A model's chat template, checked once and rendered often.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    special: Vec<(String, String)>,
}

/// The time that a template may ask for (`strftime_now`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock(DateTime);

impl Clock {
    /// A fixed local time.
    pub fn at(now: DateTime) -> Self {
        Self(now)
    }

    /// This machine's local time now.
    pub fn now() -> Self {
        Self(jiff::Zoned::now().datetime())
    }
}

/// What a template is given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// The messages, as in the OpenAI protocol: `role`, `content` (text or a list of parts), `tool_calls`, ...
    pub messages: Vec<Json>,
    /// Descriptions of tools the model may call; `None` where the request has none.
    pub tools: Option<Vec<Json>>,
    /// Whether to end with the beginning of an answer.
    pub add_generation_prompt: bool,
    /// Further variables, e.g. `enable_thinking`. They win over all others of the same name.
    pub extra: Map<String, Json>,
}

impl Conversation {
    /// The same conversation with every string in it replaced by what `map` makes of it; the names in
    /// [`extra`](Self::extra) stay.
    pub fn map_strings(&self, map: &dyn Fn(&str) -> String) -> Self {
        let all = |values: &Vec<Json>| values.iter().map(|value| map_strings(value, map)).collect();
        Self {
            messages: all(&self.messages),
            tools: self.tools.as_ref().map(all),
            add_generation_prompt: self.add_generation_prompt,
            extra: self.extra.iter().map(|(name, value)| (name.clone(), map_strings(value, map))).collect(),
        }
    }
}

impl ChatTemplate {
    /// Checks a template's source. `special` holds the variables for special tokens by name, e.g. `bos_token`; see
    /// [`TokenizerConfig::special_tokens`](crate::TokenizerConfig::special_tokens).
    pub fn new(source: &str, special: Vec<(String, String)>) -> Result<Self, TemplateError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::TooLarge { bytes: source.len(), limit: MAX_TEMPLATE_BYTES });
        }
        let source = compile::without_generation_tags(source);
        let source = on_large_stack(|| {
            let source = compile::without_constant_products(&source)?;
            compile::compile(&source)?;
            Ok(source)
        })?
        .map_err(|error| TemplateError::syntax(&error))?;
        Ok(Self { source, special })
    }

    /// Renders a conversation as it is. Where users wrote it, [`Tokenizer::encode_chat`](crate::Tokenizer::encode_chat)
    /// keeps their text from passing for control tokens.
    pub fn render(&self, conversation: &Conversation, clock: &Clock) -> Result<String, TemplateError> {
        let rendered = on_large_stack(|| {
            let mut environment = dialect::environment(*clock);
            environment.set_fuel(Some(FUEL));
            environment.set_recursion_limit(MAX_CALLS);
            self.run(&environment, conversation)
        })?;
        let text = rendered.map_err(|error| TemplateError::render(&error))?;
        if text.len() > MAX_RENDERED_BYTES {
            let reason = format!("it wrote {} bytes, more than the {MAX_RENDERED_BYTES} allowed", text.len());
            return Err(TemplateError::Budget { line: None, reason });
        }
        Ok(text)
    }

    fn run(
        &self,
        environment: &Environment<'_>,
        conversation: &Conversation,
    ) -> Result<String, minijinja::Error> {
        let program = compile::compile(&self.source)?;
        let mut text = String::new();
        let context = self.context(conversation);
        let mut out = make_string_output(&mut text);
        eval(environment, &program.main, context, &program.blocks, &mut out, AutoEscape::None)?;
        Ok(text)
    }

    fn context(&self, conversation: &Conversation) -> Value {
        let list = |values: &Vec<Json>| Value::from(values.iter().map(json::value).collect::<Vec<_>>());
        let mut context: Vec<(&str, Value)> = vec![
            ("__one__", Value::from(1)),
            ("messages", list(&conversation.messages)),
            ("tools", conversation.tools.as_ref().map_or(Value::from(()), list)),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(conversation.add_generation_prompt)),
        ];
        context.extend(self.special.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str()))));
        context.extend(conversation.extra.iter().map(|(name, extra)| (name.as_str(), json::value(extra))));
        Value::from_pairs(context)
    }
}

/// Runs what handles a stranger's program on a thread with room for its nesting; a panic there is an error here.
fn on_large_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, TemplateError> {
    let failed = |reason: String| TemplateError::Render { line: None, reason };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run);
        let thread = thread.map_err(|error| failed(format!("no thread could be started for it: {error}")))?;
        thread.join().map_err(|_| failed("the template engine gave up on it".to_owned()))
    })
}
