//! Finds the name that was probably meant, for messages about unknown names.

/// Longest name that is compared, in bytes. The comparison takes time that grows with its square.
const MAX_COMPARED_BYTES: usize = 64;

/// The candidate that differs least from `name`, when it differs little: at most a third of its letters. Case
/// does not count.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let most = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|&(distance, _)| distance <= most)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove or replace, and neighbours to swap, to make one of the other.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, &l) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, &r) in right.iter().enumerate() {
            let mut least =
                (last[column] + usize::from(l != r)).min(last[column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && l == right[column - 1] && left[row - 1] == r {
                least = least.min(before[column - 1] + 1);
            }
            line.push(least);
        }
        before = std::mem::replace(&mut last, line);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_name() {
        let names = ["children", "children_count", "socket_name"];
        assert_eq!(nearest("childern", names), Some("children"));
        assert_eq!(nearest("Socket_Name", names), Some("socket_name"));
        assert_eq!(nearest("socketname", names), Some("socket_name"));
    }

    #[test]
    fn a_different_word_finds_no_name() {
        assert_eq!(nearest("db_url", ["children", "socket_name"]), None);
        assert_eq!(nearest("", ["a_name"]), None);
        assert_eq!(nearest(&"x".repeat(65), ["x"]), None);
    }
}
