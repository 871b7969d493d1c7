//! The graph as text that fits a screen: each distinct function once, and calls that are alike in one line.

use std::fmt;

use crate::{Func, Graph, Node, Op, Param, ValueId};

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = self.weight_bytes() as f64 / f64::from(1 << 30);
        writeln!(f, "graph {}: {} weights, {gib:.3} GiB", self.name, self.weights.len())?;
        for (place, group) in self.groups.iter().enumerate() {
            let crate::Group::Pages { window } = group;
            let window = window.map_or("all positions".to_owned(), |w| format!("a window of {w}"));
            writeln!(f, "group {place}: {window}, pages of {}", self.page_len)?;
        }
        for func in &self.funcs {
            writeln!(f)?;
            self.write_func(f, func)?;
        }
        Ok(())
    }
}

impl Graph {
    fn write_func(&self, f: &mut fmt::Formatter<'_>, func: &Func) -> fmt::Result {
        let words = Words::new(func);
        let values = func.nodes_with_ids().filter_map(|(value, node)| match node.op {
            Op::Param(place) if func.params[place as usize] == Param::Value => {
                Some(format!("{}: {}", words.of(value), func.ty(value)))
            }
            _ => None,
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let calls = self.calls(func);
        writeln!(f, "func {}({values}){calls}", func.name)?;
        let nodes =
            func.nodes_with_ids().filter(|(_, node)| !matches!(node.op, Op::Param(_))).collect::<Vec<_>>();
        let mut place = 0;
        while place < nodes.len() {
            let alike = nodes[place..]
                .iter()
                .take_while(|(_, node)| is_same_call(node, nodes[place].1))
                .count()
                .max(1);
            self.write_nodes(f, func, &words, &nodes[place..place + alike])?;
            place += alike;
        }
        let results = func.results.iter().map(|&value| words.of(value)).collect::<Vec<_>>().join(", ");
        writeln!(f, "  -> {results}")
    }

    /// One node, or a run of calls of one function.
    fn write_nodes(
        &self,
        f: &mut fmt::Formatter<'_>,
        func: &Func,
        words: &Words<'_>,
        nodes: &[(ValueId, &Node)],
    ) -> fmt::Result {
        let (first, node) = nodes[0];
        if let Op::Call(callee) = node.op {
            let (last, end) = nodes[nodes.len() - 1];
            let name = |node: &Node| node.name.clone().unwrap_or_default();
            let names = if nodes.len() > 1 { format!("{} .. {}", name(node), name(end)) } else { name(node) };
            let (into, from) = (words.of(last), words.of(node.args[0]));
            return writeln!(f, "  {into} = {}({from}) x{} as {names}", self.func(callee).name, nodes.len());
        }
        let results =
            (first.0..first.0 + node.results).map(|v| words.of(ValueId(v))).collect::<Vec<_>>().join(", ");
        let args = node.args.iter().map(|&arg| words.of(arg)).collect::<Vec<_>>().join(", ");
        let name = node.name.as_ref().map_or(String::new(), |name| format!("  # {name}"));
        writeln!(f, "  {results}: {} = {}({args}){name}", func.ty(first), node.op)
    }

    fn calls(&self, func: &Func) -> String {
        let calls =
            |node: &&Node| matches!(node.op, Op::Call(callee) if std::ptr::eq(self.func(callee), func));
        match self.main().nodes.iter().filter(calls).count() {
            0 => String::new(),
            n => format!("  # called {n} times"),
        }
    }
}

fn is_same_call(a: &Node, b: &Node) -> bool {
    matches!((&a.op, &b.op), (Op::Call(a), Op::Call(b)) if a == b)
}

/// How values are written: parameters by what they are, the rest by number.
struct Words<'a> {
    func: &'a Func,
    params: Vec<Option<u32>>,
}

impl<'a> Words<'a> {
    fn new(func: &'a Func) -> Self {
        let mut params = vec![None; func.types.len()];
        for (value, node) in func.nodes_with_ids() {
            if let Op::Param(place) = node.op {
                params[value.index()] = Some(place);
            }
        }
        Words { func, params }
    }

    fn of(&self, value: ValueId) -> String {
        let Some(place) = self.params[value.index()] else { return format!("%{}", value.0) };
        match &self.func.params[place as usize] {
            Param::Value => format!("%{}", value.0),
            Param::Input(input) => {
                format!("${}", format!("{input:?}").to_lowercase().replace("(groupid(", "").replace("))", ""))
            }
            Param::Weight(name) => format!("@{name}: {}", self.func.ty(value)),
            Param::State(name, _) => format!("&{name}"),
        }
    }
}
