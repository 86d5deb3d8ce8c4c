//! What Go refuses while it parses a template, and the gotmpl crate only when it comes by: a template is right or wrong however many rows
//! there are, and whichever of its branches they take.
//!
//! Pure. Owns the names that there are: functions, and variables from their declaration to the end of their block. The surprise: a
//! variable that is only assigned to counts as declared, and a template that is called need not be there; both are Go's.

use gotmpl::parse::{BranchNode, Expr, ListNode, Node, PipeNode};
use gotmpl::{Template, TemplateError};

use super::functions;

/// Go's own, all of which the crate has.
const BUILT_IN: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

/// The template, and all that are defined in it.
///
/// # Errors
/// As if the template had come to the place.
pub(super) fn check(template: &Template) -> Result<(), TemplateError> {
    let mut trees = template.templates().into_iter().filter_map(|name| template.lookup(name));
    trees.try_for_each(|tree| Scope { variables: vec!["$".to_owned()], ranges: 0 }.list(tree))
}

/// Where in a template a node is.
struct Scope {
    variables: Vec<String>,
    ranges: usize,
}

impl Scope {
    fn list(&mut self, list: &ListNode) -> Result<(), TemplateError> {
        list.nodes.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &Node) -> Result<(), TemplateError> {
        match node {
            Node::List(list) => self.list(list),
            Node::Action(action) => self.pipe(&action.pipe),
            Node::If(branch) | Node::With(branch) => self.branch(branch, 0),
            Node::Range(branch) => self.branch(branch, 1),
            Node::Template(called) => called.pipe.iter().try_for_each(|pipe| self.pipe(pipe)),
            Node::Break(_) if self.ranges == 0 => Err(TemplateError::Exec("{{break}} outside {{range}}".into())),
            Node::Continue(_) if self.ranges == 0 => Err(TemplateError::Exec("{{continue}} outside {{range}}".into())),
            // Those that are defined are asked for by their names.
            Node::Define(_) | Node::Text(_) | Node::Break(_) | Node::Continue(_) => Ok(()),
        }
    }

    fn branch(&mut self, branch: &BranchNode, ranges: usize) -> Result<(), TemplateError> {
        let outside = self.variables.len();
        self.pipe(&branch.pipe)?;
        self.ranges += ranges;
        self.list(&branch.body)?;
        self.ranges -= ranges;
        branch.else_body.iter().try_for_each(|list| self.list(list))?;
        self.variables.truncate(outside);
        Ok(())
    }

    fn pipe(&mut self, pipe: &PipeNode) -> Result<(), TemplateError> {
        self.variables.extend(pipe.decl.iter().map(ToString::to_string));
        for (stage, command) in pipe.commands.iter().enumerate() {
            let value = matches!(
                command.args.first(),
                Some(Expr::Bool(..) | Expr::Dot(_) | Expr::Nil(_) | Expr::Number(..) | Expr::String(..))
            );
            if stage > 0 && value {
                let why = format!("non executable command in pipeline stage {}", stage + 1);
                return Err(TemplateError::Exec(why));
            }
            command.args.iter().try_for_each(|expression| self.expression(expression))?;
        }
        Ok(())
    }

    fn expression(&mut self, expression: &Expr) -> Result<(), TemplateError> {
        match expression {
            Expr::Identifier(_, name) if !is_function(name) => Err(TemplateError::UndefinedFunction(name.to_string())),
            Expr::Variable(_, name, _) if !self.variables.iter().any(|known| known == name.as_str()) => {
                Err(TemplateError::UndefinedVariable(name.to_string()))
            }
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(_, inner, _) => self.expression(inner),
            _ => Ok(()),
        }
    }
}

fn is_function(name: &str) -> bool {
    BUILT_IN.contains(&name) || functions::is(name)
}

#[cfg(test)]
mod tests {
    use gotmpl::Value;

    use super::*;

    fn parsed(text: &str) -> Template {
        Template::new("test").funcs(functions::of_rows()).parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn all_that_count_as_built_in_are_there() {
        for name in BUILT_IN {
            let answer = parsed(&format!("{{{{{name}}}}}")).execute_to_string(&Value::Nil);
            assert!(!matches!(answer, Err(TemplateError::UndefinedFunction(_))), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_found_wherever_it_stands() {
        for (text, missing) in [
            ("{{nosuch}}", "nosuch"),
            ("{{nosuch .A}}", "nosuch"),
            ("{{json . | nosuch}}", "nosuch"),
            ("{{(nosuch .).A}}", "nosuch"),
            ("{{len (nosuch .)}}", "nosuch"),
            ("{{if nosuch}}{{end}}", "nosuch"),
            ("{{if .A}}{{else}}{{nosuch}}{{end}}", "nosuch"),
            ("{{range .A}}{{with .B}}{{nosuch}}{{end}}{{end}}", "nosuch"),
            (r#"{{define "x"}}{{nosuch}}{{end}}"#, "nosuch"),
            (r#"{{block "x" .}}{{nosuch}}{{end}}"#, "nosuch"),
            (r#"{{template "x" nosuch}}"#, "nosuch"),
            ("{{$x}}", "$x"),
            ("{{if .A}}{{$x := 1}}{{end}}{{$x}}", "$x"),
            ("{{range $i, $v := .A}}{{end}}{{$v}}", "$v"),
            (r#"{{$x := 1}}{{define "y"}}{{$x}}{{end}}"#, "$x"),
        ] {
            let error = check(&parsed(text)).expect_err(text);
            let undefined = matches!(&error, TemplateError::UndefinedFunction(name) | TemplateError::UndefinedVariable(name) if name == missing);
            assert!(undefined, "{text}: {error}");
        }
        for text in ["{{break}}", "{{range .A}}{{else}}{{continue}}{{end}}", "{{.A | .}}", "{{.A | json | 1}}"] {
            assert!(check(&parsed(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_there_is_no_mistake() {
        for text in [
            "",
            "{{$x := .A}}{{$x}}{{$.B}}{{if $y := 1}}{{$y}}{{else}}{{$y}}{{end}}",
            "{{range $i, $v := .A}}{{$i}}{{$v}}{{if .}}{{break}}{{end}}{{continue}}{{end}}",
            "{{json .A | len | printf \"%d\"}}{{(index .A 1).B}}{{truncate .A 3}}",
            r#"{{define "x"}}{{$.A}}{{end}}{{template "x" .}}{{template "nowhere"}}"#,
            "{{.A | .B}}",
        ] {
            check(&parsed(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}
