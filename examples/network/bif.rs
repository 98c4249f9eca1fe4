//! Bayesian networks in the interchange format BIF: variables with named values, each with a table of probabilities
//! given the values of its parents.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::program::Outcome;

/// A network, its variables in an order in which parents come first.
pub(crate) struct Network {
    pub(crate) variables: Vec<Variable>,
}

/// A variable of a network.
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
    /// Places of the parents.
    parents: Vec<usize>,
    /// Probabilities of the values, one row for each combination of the parents', the last parent's value
    /// changing fastest.
    table: Vec<Vec<f64>>,
}

impl Variable {
    /// The probabilities of its values, given those of all variables before it.
    pub(crate) fn row(&self, state: &[usize], network: &Network) -> &[f64] {
        let row = self.parents.iter().fold(0, |row, &parent| {
            row * network.variables[parent].values.len() + state[parent]
        });
        &self.table[row]
    }
}

impl Network {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or is no network: the first thing that is wrong.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text).map_err(|e| format!("{}: {e}", path.display()).into())
    }

    /// Reads a text.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let mut values: HashMap<String, Vec<String>> = HashMap::new();
        let mut blocks = Vec::new();
        for (head, body) in blocks_of(text) {
            let mut words = head.split_whitespace();
            match (words.next(), words.next()) {
                (Some("variable"), Some(name)) => {
                    let inside = body
                        .split_once('{')
                        .and_then(|(_, rest)| rest.split_once('}'));
                    let (inside, _) = inside.ok_or(format!("`{name}` has no values"))?;
                    values.insert(name.into(), list(inside));
                }
                (Some("probability"), _) => {
                    let inside = head
                        .split_once('(')
                        .and_then(|(_, rest)| rest.split_once(')'));
                    let (inside, _) = inside.ok_or("a table names no variable")?;
                    let (name, parents) = inside.split_once('|').unwrap_or((inside, ""));
                    blocks.push((name.trim().to_owned(), list(parents), body));
                }
                _ => {}
            }
        }
        let mut network = Self {
            variables: Vec::new(),
        };
        // Whatever order the file has, parents come first.
        while !blocks.is_empty() {
            let known = |name: &String| network.place(name).is_some();
            let ready = blocks
                .iter()
                .position(|(_, parents, _)| parents.iter().all(known));
            let at =
                ready.ok_or("the variables depend on each other in a cycle, or on unknown ones")?;
            let (name, parents, body) = blocks.remove(at);
            let variable = network.variable(&name, &parents, &body, &values)?;
            network.variables.push(variable);
        }
        Ok(network)
    }

    /// The place of a variable.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.variables
            .iter()
            .position(|variable| variable.name == name)
    }

    fn variable(
        &self,
        name: &str,
        parents: &[String],
        body: &str,
        values: &HashMap<String, Vec<String>>,
    ) -> Outcome<Variable> {
        let own = values
            .get(name)
            .ok_or(format!("`{name}` has a table, but no values"))?;
        let parents: Vec<usize> = parents
            .iter()
            .filter_map(|parent| self.place(parent))
            .collect();
        let rows = parents
            .iter()
            .map(|&parent| self.variables[parent].values.len())
            .product();
        let mut table = vec![Vec::new(); rows];
        for line in body
            .split(';')
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let (given, numbers) =
                match line.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
                    Some((given, numbers)) => (list(given), numbers),
                    None => (Vec::new(), line.trim_start_matches("table")),
                };
            if given.len() != parents.len() {
                return Err(
                    format!("`{name}` has {} parents, but a row `{line}`", parents.len()).into(),
                );
            }
            let mut row = 0;
            for (&parent, value) in parents.iter().zip(&given) {
                let parent = &self.variables[parent];
                let at = parent.values.iter().position(|known| known == value);
                let at = at.ok_or(format!("`{}` has no value `{value}`", parent.name))?;
                row = row * parent.values.len() + at;
            }
            let numbers: Result<Vec<f64>, _> =
                numbers.split(',').map(|x| x.trim().parse()).collect();
            let numbers = numbers.map_err(|_| format!("`{name}` has a row `{line}`"))?;
            // Printed probabilities add up to 1 only nearly.
            const NEARLY: f64 = 0.02;
            let total: f64 = numbers.iter().sum();
            if total.is_nan() || (total - 1.0).abs() > NEARLY {
                return Err(
                    format!("`{name}` has a row `{line}`, which adds up to {total}").into(),
                );
            }
            table[row] = numbers.into_iter().map(|p| p / total).collect();
        }
        match table.iter().all(|row| row.len() == own.len()) {
            true => Ok(Variable {
                name: name.into(),
                values: own.clone(),
                parents,
                table,
            }),
            false => Err(format!("the table of `{name}` lacks a row or a number").into()),
        }
    }
}

/// What stands before each outer brace, and within.
fn blocks_of(text: &str) -> Vec<(String, String)> {
    let (mut blocks, mut head, mut body, mut depth) = (Vec::new(), String::new(), String::new(), 0);
    for c in text.chars() {
        match c {
            '{' if depth == 0 => depth = 1,
            '}' if depth == 1 => {
                depth = 0;
                blocks.push((std::mem::take(&mut head), std::mem::take(&mut body)));
            }
            _ if depth == 0 => head.push(c),
            _ => {
                depth += usize::from(c == '{');
                depth -= usize::from(c == '}');
                body.push(c);
            }
        }
    }
    blocks
}

/// Names between commas.
fn list(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
