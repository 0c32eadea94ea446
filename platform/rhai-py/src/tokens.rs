//! What the tokenizer's words mean here: aliases of keywords, words that no script may use, keywords as field names.
//!
//! `match` is read as `switch`, but not after a dot and not as the key of a map, where any keyword is just a name. The
//! parser asks for one token after the other, so the brackets around a token are known when it comes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rhai::{LexError, Token, is_valid_identifier};

const FORBIDDEN: [(&str, &str); 6] = [
    ("eval", "scripts cannot run text as code"),
    ("import", "scripts cannot load modules"),
    ("export", "scripts have no modules"),
    ("print", "scripts have no output"),
    ("debug", "scripts have no output"),
    ("curry", "write a closure instead: |x| f(y, x)"),
];

/// Reserved words that are methods of every value.
const METHODS: [&str; 3] = ["call", "type_of", "is_shared"];

/// Identifiers that are remembered for "did you mean".
const MOST_NAMES: usize = 1000;

pub struct Aliases {
    tokens: BTreeMap<String, Token>,
}

/// What was read while compiling one source.
#[derive(Default)]
pub struct Words {
    /// Every identifier.
    pub names: BTreeSet<String>,
    /// Keywords written by an alias, and those written as themselves.
    aliased: BTreeMap<&'static str, String>,
    plain: BTreeSet<&'static str>,
    brackets: Vec<Bracket>,
    after_dot: bool,
    at_key: bool,
    /// The last token was a keyword that became a name.
    after_keyword: bool,
}

#[derive(PartialEq)]
enum Bracket {
    Map,
    Other,
}

thread_local! {
    static READING: RefCell<Words> = RefCell::default();
}

impl Aliases {
    pub fn new(aliases: BTreeMap<String, String>) -> PyResult<Self> {
        let mut tokens = BTreeMap::new();
        for (alias, keyword) in aliases {
            if !is_valid_identifier(&alias) {
                return Err(PyValueError::new_err(format!("alias {alias:?} is not a word")));
            }
            let token = Token::lookup_symbol_from_syntax(&keyword)
                .filter(|token| is_valid_identifier(token.literal_syntax()))
                .ok_or_else(|| PyValueError::new_err(format!("{keyword:?} is not a keyword of Rhai")))?;
            tokens.insert(alias, token);
        }
        Ok(Self { tokens })
    }

    /// Rhai's token mapper.
    pub fn read(&self, token: Token) -> Token {
        READING.with_borrow_mut(|words| {
            let token = if words.after_dot || words.at_key {
                let name = as_name(token.clone());
                words.after_keyword = name != token;
                name
            } else if std::mem::take(&mut words.after_keyword) {
                self.as_keyword(as_binary(token), words)
            } else {
                self.as_keyword(token, words)
            };
            words.advance(&token);
            token
        })
    }

    fn as_keyword(&self, token: Token, words: &mut Words) -> Token {
        let word = match &token {
            Token::Identifier(word) | Token::Reserved(word) => word.as_str(),
            token if token.is_literal() => {
                words.plain.insert(token.literal_syntax());
                return token.clone();
            }
            _ => return token,
        };
        if let Some(keyword) = self.tokens.get(word) {
            words.aliased.insert(keyword.literal_syntax(), word.to_owned());
            return keyword.clone();
        }
        match FORBIDDEN.iter().find(|(name, _)| *name == word) {
            Some((name, why)) => refused(name, why),
            None => token,
        }
    }
}

fn as_name(token: Token) -> Token {
    match token {
        Token::Reserved(word) if word.as_str() == "curry" => refused("curry", FORBIDDEN[5].1),
        Token::Reserved(word) if is_valid_identifier(&word) && !METHODS.contains(&word.as_str()) => {
            Token::Identifier(word)
        }
        token if token.is_literal() && is_valid_identifier(token.literal_syntax()) => {
            Token::Identifier(Box::new(token.literal_syntax().into()))
        }
        token => token,
    }
}

/// After a keyword the tokenizer takes a sign for that of a number; after a name it adds or subtracts.
fn as_binary(token: Token) -> Token {
    match token {
        Token::UnaryMinus => Token::Minus,
        Token::UnaryPlus => Token::Plus,
        token => token,
    }
}

fn refused(word: &str, why: &str) -> Token {
    Token::LexError(Box::new(LexError::ImproperSymbol(
        word.into(),
        format!("'{word}' is not available: {why}"),
    )))
}

impl Words {
    pub fn begin() {
        READING.set(Self::default());
    }

    pub fn finish() -> Self {
        READING.take()
    }

    /// An error message in the words of the script's author: `match` where the parser says `switch`.
    pub fn in_words_of_author(&self, message: &str) -> String {
        self.aliased
            .iter()
            .filter(|(keyword, _)| !self.plain.contains(*keyword))
            .fold(message.to_owned(), |message, (keyword, alias)| {
                message.replace(keyword, alias)
            })
    }

    fn advance(&mut self, token: &Token) {
        self.after_dot = matches!(token, Token::Period | Token::Elvis);
        match token {
            Token::MapStart => self.brackets.push(Bracket::Map),
            Token::LeftBrace | Token::LeftParen | Token::LeftBracket | Token::QuestionBracket => {
                self.brackets.push(Bracket::Other);
            }
            Token::RightBrace | Token::RightParen | Token::RightBracket => {
                self.brackets.pop();
            }
            Token::Identifier(name) if self.names.len() < MOST_NAMES => {
                self.names.insert(name.to_string());
            }
            _ => (),
        }
        let opens = matches!(token, Token::MapStart | Token::Comma);
        self.at_key = opens && self.brackets.last() == Some(&Bracket::Map);
    }
}
