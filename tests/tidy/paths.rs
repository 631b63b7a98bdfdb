//! Owns reading which paths a file of Rust names.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Every path that `text` names, with the braces of `use` multiplied out: `a::{b, c::d}` is `a::b` and `a::c::d`.
/// Comments and strings hold none.
pub(crate) fn paths(text: &str) -> Vec<Vec<String>> {
    let tokens: TokenStream = text.parse().expect("the compiler has read this file before");
    let mut found = Vec::new();
    collect(tokens, &mut found);
    found
}

fn collect(tokens: TokenStream, found: &mut Vec<Vec<String>>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let is_dot = |index: Option<usize>| index.is_some_and(|index| is_punct(&tokens, index, '.'));
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => collect(group.stream(), found),
            // `value.tonic` is a field; `..tonic::LIMIT` is a path.
            TokenTree::Ident(_) if is_dot(at.checked_sub(1)) && !is_dot(at.checked_sub(2)) => {}
            TokenTree::Ident(_) => {
                at = path(&tokens, at, &[], found);
                continue;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        at += 1;
    }
}

/// Reads the path that begins at `at`, below `prefix`, and returns the place after it.
fn path(tokens: &[TokenTree], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut segments = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(name)) => segments.push(name.to_string()),
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => segments.push("*".to_owned()),
            Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Brace && !segments.is_empty() =>
            {
                use_list(&group.stream().into_iter().collect::<Vec<_>>(), &segments, found);
                return at + 1;
            }
            // `name::<T>` and the end of the file.
            _ => break,
        }
        at += 1;
        if !(is_punct(tokens, at, ':') && is_punct(tokens, at + 1, ':')) {
            break;
        }
        at += 2;
    }
    found.push(segments);
    at
}

/// Reads what stands between the braces of a `use`.
fn use_list(tokens: &[TokenTree], prefix: &[String], found: &mut Vec<Vec<String>>) {
    for item in tokens.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',')) {
        if !item.is_empty() {
            path(item, 0, prefix, found); // What follows it is `as name`.
        }
    }
}

fn is_punct(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}
