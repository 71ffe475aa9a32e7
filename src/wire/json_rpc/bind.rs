//! Matches the parameters of a request with a recipe of its command, and converts their values.
//!
//! C: `get_mi_recipe` and `get_mi_int_param` and others in mi/mi.c.

use serde_json::value::RawValue;

use super::request::{self, RequestParams};
use crate::mi::{self, Parameter, ParameterKind, Params, Status};

/// The parameters of one form of a command.
type Recipe = &'static [Parameter];

/// Finds the recipe that fits, and puts the values into `params` in the recipe's order. Clears `params`
/// first.
///
/// # Errors
/// Code -32602 with the text of C, when no recipe fits or a value has the wrong type.
pub(super) fn bind(
    given: &RequestParams<'_>,
    recipes: &[Recipe],
    params: &mut Params,
) -> Result<Recipe, Status> {
    params.clear();
    let count = match given {
        RequestParams::Positional(values) => values.len(),
        RequestParams::Named(pairs) => pairs.len(),
    };
    let mut fitting = recipes.iter().copied().filter(|recipe| recipe.len() == count).peekable();
    fitting.peek().ok_or(Status::invalid_params("Too few or too many parameters"))?;
    match given {
        RequestParams::Positional(values) => {
            let recipe = fitting.next().unwrap_or_default();
            if fitting.next().is_some() {
                return Err(Status::invalid_params("Ambiguous call, use named parameters instead"));
            }
            recipe.iter().zip(values).try_for_each(|(parameter, value)| put(parameter, value, params))?;
            Ok(recipe)
        }
        RequestParams::Named(pairs) => {
            let value = |parameter: &Parameter| {
                pairs.iter().find(|(name, _)| name == parameter.name).map(|(_, value)| *value)
            };
            let recipe = fitting.find(|recipe| recipe.iter().all(|parameter| value(parameter).is_some()));
            let recipe = recipe.ok_or(Status::invalid_params("Named parameters do not match"))?;
            let values = recipe.iter().filter_map(|parameter| Some((parameter, value(parameter)?)));
            values.into_iter().try_for_each(|(parameter, value)| put(parameter, value, params))?;
            Ok(recipe)
        }
    }
}

/// Adds one value, converted to the kind of its parameter.
fn put(parameter: &Parameter, value: &RawValue, params: &mut Params) -> Result<(), Status> {
    let bad = |what: &str| Status::invalid_params(format!("{what} parameter '{}'", parameter.name));
    let text = value.get();
    match parameter.kind {
        ParameterKind::Text => text_of(value, params).ok_or_else(|| bad("Bad type for")),
        ParameterKind::Integer => {
            let number = match number(text) {
                None => request::string(value).and_then(|text| mi::signed(text.as_bytes())),
                number => number,
            };
            let number = number.ok_or_else(|| bad("Bad type for"))?;
            params.push(b"", itoa::Buffer::new().format(number).as_bytes());
            Ok(())
        }
        ParameterKind::List => {
            let items = request::elements(text).ok_or_else(|| bad("Bad type for"))?;
            if items.is_empty() {
                return Err(bad("Empty array in"));
            }
            items
                .iter()
                .try_for_each(|item| text_of(item, params))
                .ok_or_else(|| bad("Bad type for array item in"))
        }
    }
}

/// Adds a string, or a number as its decimal digits; `None` for anything else.
fn text_of(value: &RawValue, params: &mut Params) -> Option<()> {
    match number(value.get()) {
        Some(number) => params.push(b"", itoa::Buffer::new().format(number).as_bytes()),
        None => params.push(b"", request::string(value)?.as_bytes()),
    }
    Some(())
}

/// A number, truncated to an integer and limited to the range of C's `int`.
#[expect(clippy::cast_possible_truncation, reason = "`as` truncates and saturates")]
fn number(text: &str) -> Option<i32> {
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return None;
    }
    text.parse::<f64>().ok().map(|number| number as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mi::required;
    use crate::wire::json_rpc::request::JsonRpcRequest;

    const RECIPES: &[Recipe] = &[
        &[],
        &[required("list").list()],
        &[required("text"), required("number").integer()],
        &[required("a"), required("b"), required("c")],
        &[required("a"), required("b"), required("d")],
    ];

    fn bound(params: &str) -> Result<Vec<String>, String> {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
        let request = JsonRpcRequest::parse(&text).unwrap();
        let mut params = Params::new();
        bind(&request.params, RECIPES, &mut params).map_err(|status| status.data.unwrap().into_owned())?;
        Ok(params.iter().map(|(_, value)| String::from_utf8(value.to_vec()).unwrap()).collect())
    }

    #[test]
    fn values_are_in_the_order_of_the_recipe() {
        assert_eq!(bound("[]").unwrap(), [""; 0]);
        assert_eq!(bound("{}").unwrap(), [""; 0]);
        assert_eq!(bound(r#"["x",5]"#).unwrap(), ["x", "5"]);
        assert_eq!(bound(r#"{"number":"-5","text":"x"}"#).unwrap(), ["x", "-5"]);
        assert_eq!(bound(r#"{"d":"3","a":"1","b":"2"}"#).unwrap(), ["1", "2", "3"]);
        assert_eq!(bound(r#"[["p",1.9,"q"]]"#).unwrap(), ["p", "1", "q"]);
    }

    #[test]
    fn numbers_are_truncated_and_limited_to_32_bits() {
        for (number, wanted) in [
            ("3.7", "3"),
            ("-0.5", "0"),
            ("99999999999", "2147483647"),
            ("-1e400", "-2147483648"),
            ("1e3", "1000"),
        ] {
            assert_eq!(bound(&format!("[{number},{number}]")).unwrap(), [wanted, wanted], "{number}");
        }
    }

    #[test]
    fn the_error_names_what_does_not_fit() {
        for (params, wanted) in [
            (r#"["a","b","c","d"]"#, "Too few or too many parameters"),
            (r#"["a","b","c"]"#, "Ambiguous call, use named parameters instead"),
            (r#"{"Text":"x","number":1}"#, "Named parameters do not match"),
            (r#"{"text":"x","text":"y"}"#, "Named parameters do not match"),
            (r#"["x","y"]"#, "Bad type for parameter 'number'"),
            (r#"["x","99999999999"]"#, "Bad type for parameter 'number'"),
            (r#"["x",null]"#, "Bad type for parameter 'number'"),
            (r#"[true,1]"#, "Bad type for parameter 'text'"),
            (r#"[["x"],1]"#, "Bad type for parameter 'text'"),
            (r#"["x"]"#, "Bad type for parameter 'list'"),
            (r#"[[]]"#, "Empty array in parameter 'list'"),
            (r#"[["x",{}]]"#, "Bad type for array item in parameter 'list'"),
        ] {
            assert_eq!(bound(params).unwrap_err(), wanted, "{params}");
        }
    }
}
