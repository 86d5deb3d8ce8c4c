//! Which fields a template names, and which ones there are.
//!
//! Pure. The header of a table needs the first, the error for a field that is not there needs both. The surprise: inside
//! `range` and `with` the dot is something else, and what is found there may not be a field of the row; headers don't mind.

use std::collections::BTreeSet;

use gotmpl::parse::{CommandNode, Expr, ListNode, Node, PipeNode};
use serde_json::{Map, Value};

/// `.A.B` and `$.A.B` of a template, as `[A, B]`.
pub(super) fn named(tree: &ListNode) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    of_list(tree, &mut found);
    found
}

fn of_list(list: &ListNode, found: &mut BTreeSet<Vec<String>>) {
    for node in &list.nodes {
        match node {
            Node::List(list) => of_list(list, found),
            Node::Action(action) => of_pipe(&action.pipe, found),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                of_pipe(&branch.pipe, found);
                of_list(&branch.body, found);
                branch.else_body.iter().for_each(|list| of_list(list, found));
            }
            Node::Template(template) => template.pipe.iter().for_each(|pipe| of_pipe(pipe, found)),
            Node::Define(define) => of_list(&define.body, found),
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }
}

fn of_pipe(pipe: &PipeNode, found: &mut BTreeSet<Vec<String>>) {
    for CommandNode { args, .. } in &pipe.commands {
        args.iter().for_each(|expression| of_expression(expression, found));
    }
}

fn of_expression(expression: &Expr, found: &mut BTreeSet<Vec<String>>) {
    match expression {
        Expr::Field(_, chain) => {
            found.insert(chain.iter().map(ToString::to_string).collect());
        }
        Expr::Variable(_, name, chain) if name == "$" && !chain.is_empty() => {
            found.insert(chain.iter().map(ToString::to_string).collect());
        }
        Expr::Pipe(_, pipe) => of_pipe(pipe, found),
        Expr::Chain(_, inner, _) => of_expression(inner, found),
        _ => {}
    }
}

/// What stands beside the field `key` that a row lacks: `.Config` and the names of its fields.
pub(super) fn beside<'a>(tree: &ListNode, row: &'a Value, key: &str) -> (String, Vec<&'a str>) {
    for chain in named(tree) {
        let Some(place) = chain.iter().position(|part| part == key) else { continue };
        let parent = chain[..place].iter().try_fold(row, |value, part| value.get(part));
        if let Some(object) = parent.and_then(Value::as_object)
            && !object.contains_key(key)
        {
            let path = chain[..place].iter().map(|part| format!(".{part}")).collect();
            return (path, object.keys().map(String::as_str).collect());
        }
    }
    (String::new(), row.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default())
}

/// A row whose fields are their own headers: those of `known`, and for others `CreatedAt` is `CREATED AT`.
pub(super) fn headers(tree: &ListNode, known: &[(&str, &str)]) -> Value {
    let mut row = Map::new();
    for chain in named(tree) {
        let Some((last, parents)) = chain.split_last() else { continue };
        let mut place = &mut row;
        for part in parents {
            let entry = place.entry(part.clone()).or_insert_with(|| Map::new().into());
            // Longer chains come behind their beginnings: `.A` and `.A.B` in one template make an object of A.
            if !entry.is_object() {
                *entry = Map::new().into();
            }
            let Some(next) = entry.as_object_mut() else { return row.into() };
            place = next;
        }
        let template = format!("{{{{.{}}}}}", chain.join("."));
        let header = known.iter().find(|(_, field)| *field == template).map(|(header, _)| (*header).to_owned());
        place.insert(last.clone(), header.unwrap_or_else(|| spaced(last)).into());
    }
    row.into()
}

/// `CreatedAt` as `CREATED AT`, `ImageID` as `IMAGE ID`.
fn spaced(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut words = String::with_capacity(name.len() + 4);
    for (place, character) in characters.iter().enumerate() {
        let begins = place > 0 && character.is_uppercase() && !characters[place - 1].is_uppercase();
        if begins {
            words.push(' ');
        }
        words.extend(character.to_uppercase());
    }
    words
}
