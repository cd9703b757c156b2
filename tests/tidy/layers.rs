//! Finds which module uses which, from the imports and paths of the code.
//!
//! A path is followed to its definition, so a re-exported name leads to the file that defines it. Code for tests is
//! ignored.

use std::collections::{BTreeMap, BTreeSet};

/// The path of a module from the root, whose path is empty.
type Module = Vec<String>;

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// `::`.
    Path,
    Other(char),
}

/// The sources of a crate.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    scopes: BTreeMap<Module, Scope>,
    /// The other crates that imports name.
    crates: BTreeSet<String>,
}

/// The items, imports and paths of a module, of a file or in braces.
#[derive(Debug, Default)]
struct Scope {
    /// The module of its file.
    file: Module,
    /// By name. Two imports of a name may be under different conditions.
    imports: BTreeSet<(String, Module)>,
    paths: BTreeSet<Module>,
    /// Names of the items defined here.
    items: BTreeSet<String>,
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// To an item of this module.
    Inside(Module),
    /// To another crate.
    Outside(Module),
}

impl Target {
    fn name(&self) -> String {
        match self {
            Self::Inside(module) => module.join("/"),
            Self::Outside(path) => path.join("::"),
        }
    }
}

/// The table of layers.
#[derive(Debug)]
pub(crate) struct Layers<'a>(Vec<Row<'a>>);

/// A module, the rows that it may use, and the paths of other crates that it may use, if they are limited.
#[derive(Debug)]
struct Row<'a> {
    name: &'a str,
    may: Vec<&'a str>,
    outside: Option<Vec<&'a str>>,
}

impl<'a> Layers<'a> {
    /// Parses rows of the form `name: may use these | and these of other crates`.
    ///
    /// # Panics
    /// If a row names a row that is not above it. So the table has no circles.
    pub(crate) fn new(text: &'a str) -> Self {
        let mut rows: Vec<Row<'a>> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (name, uses) = line.trim().split_once(':').expect("a name and a colon");
            let (may, outside) = match uses.split_once('|') {
                Some((may, outside)) => (may, Some(outside.split_whitespace().collect())),
                None => (uses, None),
            };
            let above = || rows.iter().map(|row| row.name);
            let may: Vec<_> = match may.trim() {
                "*" => above().collect(),
                may => may.split_whitespace().collect(),
            };
            for other in &may {
                assert!(
                    above().any(|name| name == *other),
                    "{name} is above {other}"
                );
            }
            rows.push(Row { name, may, outside });
        }
        Self(rows)
    }

    /// Returns the row of this module: that with the longest matching name.
    fn row(&self, module: &Module) -> Option<&Row<'a>> {
        let name = if module.is_empty() {
            "lib".to_owned()
        } else {
            module.join("/")
        };
        let is_in =
            |row: &&Row<'_>| name == row.name || name.starts_with(&format!("{}/", row.name));
        self.0.iter().filter(is_in).max_by_key(|row| row.name.len())
    }

    fn allow(&self, row: &Row<'_>, target: &Target) -> bool {
        match target {
            Target::Inside(to) => {
                let to = self.row(to).map(|row| row.name);
                to.is_none_or(|to| to == row.name || row.may.contains(&to))
            }
            Target::Outside(path) => {
                let path = path.join("::");
                let within =
                    |allowed: &&str| path == *allowed || path.starts_with(&format!("{allowed}::"));
                row.outside
                    .as_ref()
                    .is_none_or(|all| all.iter().any(within))
            }
        }
    }
}

impl Crate {
    /// Parses files, whose names are paths from the root of the crate.
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut all = Self::default();
        for (name, text) in files {
            let file = module_of(name);
            let mut reader = Reader {
                tokens: &tokens(text),
                at: 0,
                file: file.clone(),
                all: &mut all,
            };
            reader.module(file);
        }
        let names = all.scopes.values().flat_map(|scope| &scope.imports);
        let mut crates: BTreeSet<String> = names
            .filter_map(|(_, path)| path.first().cloned())
            .collect();
        crates.retain(|name| {
            !["crate", "super", "self"].contains(&name.as_str())
                && name.starts_with(char::is_lowercase)
        });
        crates.extend(["std", "core", "alloc"].map(str::to_owned));
        all.crates = crates;
        all
    }

    /// Returns which file uses which, and which paths of other crates.
    fn uses(&self) -> BTreeSet<(Module, Target)> {
        let mut uses = BTreeSet::new();
        for (module, scope) in &self.scopes {
            let imports = scope.imports.iter().map(|(_, path)| path);
            for target in imports
                .chain(&scope.paths)
                .flat_map(|path| self.resolve(module, path))
            {
                let target = match target {
                    Target::Inside(module) => Target::Inside(self.scopes[&module].file.clone()),
                    outside => outside,
                };
                if target != Target::Inside(scope.file.clone()) {
                    uses.insert((scope.file.clone(), target));
                }
            }
        }
        uses
    }

    /// Returns where a path in this module leads.
    fn resolve(&self, module: &Module, path: &[String]) -> BTreeSet<Target> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut next = vec![(module.clone(), path.to_vec())];
        while let Some((module, path)) = next.pop() {
            if seen.insert((module.clone(), path.clone())) {
                found.extend(self.follow(module, &path, &mut next));
            }
        }
        found
    }

    /// Follows a path to its end, or to imports, which are added to `next`.
    fn follow(
        &self,
        mut at: Module,
        path: &[String],
        next: &mut Vec<(Module, Module)>,
    ) -> Option<Target> {
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" if index == 0 => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                name => {
                    let inner = [at.as_slice(), &[name.to_owned()]].concat();
                    // An import of a function may have the name of a module, through which a path goes on.
                    if index + 1 < path.len() && self.scopes.contains_key(&inner) {
                        at = inner;
                        continue;
                    }
                    let imports = self.scopes[&at].imports.iter();
                    let imports =
                        imports.filter(|(own, to)| own == name && to.first() != Some(own));
                    let before = next.len();
                    next.extend(
                        imports.map(|(_, to)| (at.clone(), [to, &path[index + 1..]].concat())),
                    );
                    if next.len() > before {
                        return None;
                    } else if self.scopes.contains_key(&inner) {
                        at = inner;
                    } else if index == 0 {
                        let is_crate = self.crates.contains(name);
                        return is_crate.then(|| Target::Outside(path.to_vec()));
                    } else if let Some(outside) = self.glob(&at, name) {
                        return Some(Target::Outside([outside, &path[index..]].concat()));
                    } else {
                        break;
                    }
                }
            }
        }
        Some(Target::Inside(at))
    }

    /// Returns the path of a glob import from another crate that may provide this name. `None` if the name is defined here.
    fn glob(&self, at: &Module, name: &str) -> Option<&Module> {
        let scope = &self.scopes[at];
        let mut globs = scope.imports.iter().filter(|(name, _)| name == "*");
        let (_, path) = globs.find(|(_, path)| {
            path.first()
                .is_some_and(|first| self.crates.contains(first))
        })?;
        (!scope.items.contains(name)).then_some(path)
    }

    /// Returns glob imports of modules, which hide what is used.
    fn globs(&self) -> Vec<String> {
        let mut globs = Vec::new();
        for (module, scope) in &self.scopes {
            for (_, path) in scope.imports.iter().filter(|(name, _)| name == "*") {
                let is_module =
                    |to: &Target| matches!(to, Target::Inside(to) if to.last() == path.last());
                if self.resolve(module, path).iter().any(is_module) {
                    globs.push(format!(
                        "{} imports all of {}",
                        module.join("/"),
                        path.join("::")
                    ));
                }
            }
        }
        globs
    }

    /// Returns the breaches of the table.
    pub(crate) fn breaches(&self, layers: &Layers<'_>) -> Vec<String> {
        let mut breaches = self.globs();
        for (module, scope) in &self.scopes {
            if *module == scope.file && layers.row(module).is_none() {
                breaches.push(format!("{} is in no layer", module.join("/")));
            }
        }
        for (from, to) in self.uses() {
            if layers.row(&from).is_some_and(|row| !layers.allow(row, &to)) {
                breaches.push(format!("{} uses {}", from.join("/"), to.name()));
            }
        }
        breaches
    }

    /// Returns the import circles, each as a line of files. A folder and its files count as one.
    pub(crate) fn circles(&self) -> Vec<String> {
        let mut direct: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (from, to) in self.uses() {
            if let Target::Inside(to) = to
                && !from.starts_with(&to)
                && !to.starts_with(&from)
            {
                direct.entry(from).or_default().insert(to);
            }
        }
        let all: BTreeMap<_, _> = direct
            .keys()
            .map(|one| (one, reached(&direct, one)))
            .collect();
        let circle = |one: &&Module| {
            let back =
                |other: &&&Module| all[*one].contains(**other) && all[**other].contains(*one);
            let names: Vec<_> = all
                .keys()
                .filter(back)
                .map(|other| other.join("/"))
                .collect();
            names.join(" ")
        };
        let circles: BTreeSet<String> = all.keys().map(circle).collect();
        circles
            .into_iter()
            .filter(|names| !names.is_empty())
            .collect()
    }
}

/// Returns all modules that can be reached from this one.
fn reached<'a>(
    direct: &'a BTreeMap<Module, BTreeSet<Module>>,
    from: &'a Module,
) -> BTreeSet<&'a Module> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(others) = next.pop().map(|one| direct.get(one)) {
        next.extend(
            others
                .into_iter()
                .flatten()
                .filter(|other| seen.insert(*other)),
        );
    }
    seen
}

/// `a/b.rs` and `a/b/mod.rs` are `a`, `b`; `lib.rs` is the root.
fn module_of(file: &str) -> Module {
    let name = file.trim_end_matches(".rs");
    let name = name.trim_end_matches("/mod");
    let names = name.split('/').filter(|name| *name != "lib");
    names.map(str::to_owned).collect()
}

/// Code without comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let word = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if let Some(length) = literal(rest) {
            rest = &rest[length..];
        } else if word > 0 {
            tokens.push(Token::Word(rest[..word].to_owned()));
            rest = &rest[word..];
        } else if let Some(more) = rest.strip_prefix("::") {
            tokens.push(Token::Path);
            rest = more;
        } else {
            tokens.extend((!first.is_whitespace()).then_some(Token::Other(first)));
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// Returns the length of the comment, string or character that this begins with.
fn literal(rest: &str) -> Option<usize> {
    let through = |from: usize, end: &str| {
        rest[from..]
            .find(end)
            .map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return Some(through(2, "\n"));
    }
    if rest.starts_with("/*") {
        return Some(through(2, "*/"));
    }
    let plain = rest.trim_start_matches(['b', 'c']);
    if let Some(raw) = plain.strip_prefix('r')
        && let hashes = raw.len() - raw.trim_start_matches('#').len()
        && raw[hashes..].starts_with('"')
    {
        let start = rest.len() - raw.len() + hashes + 1;
        return Some(through(start, &format!("\"{}", "#".repeat(hashes))));
    }
    let quote = plain
        .chars()
        .next()
        .filter(|quote| ['"', '\''].contains(quote))?;
    let inner = &plain[1..];
    // A lifetime has no second quote.
    let is_character = inner.starts_with('\\') || inner.chars().nth(1) == Some('\'');
    if quote == '\'' && !is_character {
        return Some(1);
    }
    let mut escaped = false;
    let end = inner.find(|c| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    Some(end.map_or(rest.len(), |end| rest.len() - inner.len() + end + 1))
}

/// Reads the tokens of a file.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    file: Module,
    all: &'a mut Crate,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.peek(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Parses up to the brace that ends the module, or to the end of the file.
    fn module(&mut self, module: Module) {
        let (file, mut depth) = (self.file.clone(), 0);
        self.all.scopes.entry(module.clone()).or_default().file = file;
        while let Some(token) = self.peek(0) {
            match token {
                Token::Other('#') => self.attribute(),
                Token::Other('}') if depth == 0 => return,
                Token::Other(brace) => {
                    depth += i32::from(*brace == '{') - i32::from(*brace == '}');
                    self.at += 1;
                }
                Token::Path => {
                    self.at += 1;
                    self.path(&module);
                }
                Token::Word(word) if word == "use" => {
                    self.at += 1;
                    self.imports(&module, &[]);
                }
                Token::Word(word) if word == "mod" && self.peek(2) == Some(&Token::Other('{')) => {
                    let name = self.word(1).unwrap().to_owned();
                    self.at += 3;
                    self.module([module.as_slice(), &[name]].concat());
                    self.at += 1;
                }
                Token::Word(word) => {
                    if ["fn", "struct", "enum", "trait", "type", "const", "static"]
                        .contains(&word.as_str())
                    {
                        let items = self.word(1).map(str::to_owned);
                        self.all
                            .scopes
                            .get_mut(&module)
                            .unwrap()
                            .items
                            .extend(items);
                    }
                    self.path(&module);
                }
            }
        }
    }

    /// Skips an attribute, and the item behind it if that is for tests only.
    fn attribute(&mut self) {
        let start = self.at;
        self.at += 1 + usize::from(self.peek(1) == Some(&Token::Other('!')));
        self.group();
        let has = |name: &str| self.tokens[start..self.at].contains(&Token::Word(name.into()));
        if !has("cfg") || !has("test") || has("not") {
            return;
        }
        while self.peek(0) == Some(&Token::Other('#')) {
            self.at += 1;
            self.group();
        }
        let ends =
            |token: Option<&Token>| matches!(token, None | Some(Token::Other(';' | ',' | '}')));
        let mut start = self.tokens[self.at..]
            .iter()
            .take_while(|token| **token != Token::Other('{'));
        let is_import = start.any(|token| *token == Token::Word("use".into()));
        while !ends(self.peek(0)) {
            let is_body = self.peek(0) == Some(&Token::Other('{')) && !is_import;
            self.group();
            if is_body {
                return;
            }
        }
    }

    /// Skips a token, or brackets with their content.
    fn group(&mut self) {
        let mut depth = 0;
        loop {
            match self.peek(0) {
                Some(Token::Other('(' | '[' | '{')) => depth += 1,
                Some(Token::Other(')' | ']' | '}')) => depth -= 1,
                None => return,
                _ => {}
            }
            self.at += 1;
            if depth <= 0 {
                return;
            }
        }
    }

    /// Parses the imported paths, with the path before the braces as a prefix.
    fn imports(&mut self, module: &Module, before: &[String]) {
        let mut path = before.to_vec();
        let mut name = None;
        while let Some(token) = self.peek(0).cloned() {
            self.at += 1;
            match token {
                Token::Word(word) if word == "as" => {
                    name = self.word(0).map(str::to_owned);
                    self.at += 1;
                }
                Token::Word(word) if word == "self" && !path.is_empty() => {}
                Token::Word(word) => path.push(word),
                Token::Path | Token::Other('$') => {}
                Token::Other('{') => {
                    while self
                        .peek(0)
                        .is_some_and(|token| *token != Token::Other('}'))
                    {
                        self.imports(module, &path);
                        self.at += usize::from(self.peek(0) == Some(&Token::Other(',')));
                    }
                    self.at += 1;
                    return;
                }
                Token::Other('*') => name = Some("*".to_owned()),
                Token::Other(_) => {
                    self.at -= 1;
                    break;
                }
            }
        }
        if let Some(last) = path.last().cloned() {
            let scope = self.all.scopes.get_mut(module).unwrap();
            scope.imports.insert((name.unwrap_or(last), path));
        }
    }

    fn path(&mut self, module: &Module) {
        let mut path = Vec::new();
        while let Some(word) = self.word(0).map(str::to_owned) {
            path.push(word);
            self.at += 1;
            if self.peek(0) != Some(&Token::Path) || self.word(1).is_none() {
                break;
            }
            self.at += 1;
        }
        // A macro call leads to no module.
        let is_macro =
            self.peek(0) == Some(&Token::Other('!')) && self.peek(1) != Some(&Token::Other('='));
        if path.len() > 1 && !is_macro {
            self.all.scopes.get_mut(module).unwrap().paths.insert(path);
        }
    }
}
