//! Names of SQLSTATEs: PostgreSQL's documentation, appendix A. All classes, and the conditions that applications meet.

/// The name of the class, which is the first two characters.
pub(crate) fn class(sqlstate: &str) -> Option<&'static str> {
    let class = sqlstate.get(..2)?;
    CLASSES.iter().find(|(code, _)| *code == class).map(|(_, name)| *name)
}

/// The name of the condition.
pub(crate) fn condition(sqlstate: &str) -> Option<&'static str> {
    CONDITIONS.iter().find(|(code, _)| *code == sqlstate).map(|(_, name)| *name)
}

const CLASSES: &[(&str, &str)] = &[
    ("00", "successful completion"),
    ("01", "warning"),
    ("02", "no data"),
    ("03", "SQL statement not yet complete"),
    ("08", "connection exception"),
    ("09", "triggered action exception"),
    ("0A", "feature not supported"),
    ("0B", "invalid transaction initiation"),
    ("0F", "locator exception"),
    ("0L", "invalid grantor"),
    ("0P", "invalid role specification"),
    ("0Z", "diagnostics exception"),
    ("10", "XQuery error"),
    ("20", "case not found"),
    ("21", "cardinality violation"),
    ("22", "data exception"),
    ("23", "integrity constraint violation"),
    ("24", "invalid cursor state"),
    ("25", "invalid transaction state"),
    ("26", "invalid SQL statement name"),
    ("27", "triggered data change violation"),
    ("28", "invalid authorization specification"),
    ("2B", "dependent privilege descriptors still exist"),
    ("2D", "invalid transaction termination"),
    ("2F", "SQL routine exception"),
    ("34", "invalid cursor name"),
    ("38", "external routine exception"),
    ("39", "external routine invocation exception"),
    ("3B", "savepoint exception"),
    ("3D", "invalid catalog name"),
    ("3F", "invalid schema name"),
    ("40", "transaction rollback"),
    ("42", "syntax error or access rule violation"),
    ("44", "WITH CHECK OPTION violation"),
    ("53", "insufficient resources"),
    ("54", "program limit exceeded"),
    ("55", "object not in prerequisite state"),
    ("57", "operator intervention"),
    ("58", "system error"),
    ("72", "snapshot failure"),
    ("F0", "configuration file error"),
    ("HV", "foreign data wrapper error"),
    ("P0", "PL/pgSQL error"),
    ("XX", "internal error"),
];

const CONDITIONS: &[(&str, &str)] = &[
    ("08000", "connection exception"),
    ("08001", "client unable to establish connection"),
    ("08003", "connection does not exist"),
    ("08004", "server rejected the connection"),
    ("08006", "connection failure"),
    ("08P01", "protocol violation"),
    ("0A000", "feature not supported"),
    ("21000", "cardinality violation"),
    ("22000", "data exception"),
    ("22001", "string data right truncation"),
    ("22003", "numeric value out of range"),
    ("22004", "null value not allowed"),
    ("22007", "invalid datetime format"),
    ("22008", "datetime field overflow"),
    ("22012", "division by zero"),
    ("22021", "character not in repertoire"),
    ("22023", "invalid parameter value"),
    ("22025", "invalid escape sequence"),
    ("2201B", "invalid regular expression"),
    ("22030", "duplicate JSON object key value"),
    ("22032", "invalid JSON text"),
    ("22P02", "invalid text representation"),
    ("22P03", "invalid binary representation"),
    ("22P04", "bad COPY file format"),
    ("22P05", "untranslatable character"),
    ("23000", "integrity constraint violation"),
    ("23001", "restrict violation"),
    ("23502", "not null violation"),
    ("23503", "foreign key violation"),
    ("23505", "unique violation"),
    ("23514", "check violation"),
    ("23P01", "exclusion violation"),
    ("24000", "invalid cursor state"),
    ("25001", "active SQL transaction"),
    ("25006", "read only SQL transaction"),
    ("25P01", "no active SQL transaction"),
    ("25P02", "in failed SQL transaction"),
    ("25P03", "idle in transaction session timeout"),
    ("25P04", "transaction timeout"),
    ("26000", "invalid SQL statement name"),
    ("28000", "invalid authorization specification"),
    ("28P01", "invalid password"),
    ("34000", "invalid cursor name"),
    ("3B001", "invalid savepoint specification"),
    ("3D000", "invalid catalog name"),
    ("3F000", "invalid schema name"),
    ("40001", "serialization failure"),
    ("40002", "transaction integrity constraint violation"),
    ("40003", "statement completion unknown"),
    ("40P01", "deadlock detected"),
    ("42501", "insufficient privilege"),
    ("42601", "syntax error"),
    ("42602", "invalid name"),
    ("42622", "name too long"),
    ("42701", "duplicate column"),
    ("42702", "ambiguous column"),
    ("42703", "undefined column"),
    ("42704", "undefined object"),
    ("42710", "duplicate object"),
    ("42712", "duplicate alias"),
    ("42723", "duplicate function"),
    ("42725", "ambiguous function"),
    ("42803", "grouping error"),
    ("42804", "datatype mismatch"),
    ("42809", "wrong object type"),
    ("42830", "invalid foreign key"),
    ("42846", "cannot coerce"),
    ("42883", "undefined function"),
    ("42P01", "undefined table"),
    ("42P02", "undefined parameter"),
    ("42P05", "duplicate prepared statement"),
    ("42P07", "duplicate table"),
    ("42P08", "ambiguous parameter"),
    ("42P10", "invalid column reference"),
    ("42P18", "indeterminate datatype"),
    ("44000", "WITH CHECK OPTION violation"),
    ("53000", "insufficient resources"),
    ("53100", "disk full"),
    ("53200", "out of memory"),
    ("53300", "too many connections"),
    ("53400", "configuration limit exceeded"),
    ("54000", "program limit exceeded"),
    ("54001", "statement too complex"),
    ("54023", "too many arguments"),
    ("55000", "object not in prerequisite state"),
    ("55006", "object in use"),
    ("55P03", "lock not available"),
    ("57014", "query canceled"),
    ("57P01", "admin shutdown"),
    ("57P02", "crash shutdown"),
    ("57P03", "cannot connect now"),
    ("57P04", "database dropped"),
    ("57P05", "idle session timeout"),
    ("58030", "I/O error"),
    ("P0001", "raise exception"),
    ("P0002", "no data found"),
    ("P0003", "too many rows"),
    ("P0004", "assert failure"),
    ("XX000", "internal error"),
    ("XX001", "data corrupted"),
    ("XX002", "index corrupted"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_belongs_to_a_class_and_is_named_once() {
        for (at, (code, _)) in CONDITIONS.iter().enumerate() {
            assert!(code.len() == 5 && class(code).is_some(), "{code}");
            assert!(CONDITIONS[..at].iter().all(|(other, _)| other != code), "{code}");
        }
        assert_eq!(condition("23505"), Some("unique violation"));
        assert_eq!(
            (condition("23ZZZ"), class("23ZZZ")),
            (None, Some("integrity constraint violation"))
        );
        assert_eq!((class("é1"), class("")), (None, None));
    }
}
