//! Connection strings in the forms that frameworks write them: which server they name, and the same string with another
//! host and port in it. Pure: no environment, no files.

mod ado;
mod pairs;
mod server;
mod url;
pub(crate) mod variables;

pub(crate) use server::Server;

/// Why a string cannot be used, in one clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It isn't in a form that is known, or what it says makes no sense.
    Malformed(String),
    /// It wants one of several servers by its state, which a proxy can't promise.
    TargetSession(String),
}

/// Where the child connects instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A string that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionString {
    /// Where it leads.
    pub(crate) server: Server,
    /// What is lost on the way, in sentences.
    pub(crate) warnings: Vec<String>,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Url(url::Url),
    Pairs(pairs::Pairs),
    Ado(ado::Ado),
}

/// What a form of connection string offers.
trait Spelling {
    /// The string that leads to `place` without encryption, everything else as it was.
    fn leading_to(&self, place: &Place) -> String;
    /// The string with its password hidden.
    fn masked(&self) -> String;
}

/// What stands where a password was.
const MASK: &str = "•••";

impl ConnectionString {
    /// Reads a string in any form.
    ///
    /// # Errors
    /// It has no known form, contradicts itself, or asks for a server in a certain state.
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        let text = text.trim();
        let (asked, form) = if url::Url::is_one(text) {
            let url = url::Url::read(text)?;
            (url.asked()?, Form::Url(url))
        } else if ado::Ado::is_one(text) {
            let ado = ado::Ado::read(text)?;
            (ado.asked(), Form::Ado(ado))
        } else {
            let pairs = pairs::Pairs::read(text)?;
            (pairs.asked(), Form::Pairs(pairs))
        };
        let (server, warnings) = asked.into_server()?;
        Ok(Self { server, warnings, form })
    }

    fn spelling(&self) -> &dyn Spelling {
        match &self.form {
            Form::Url(url) => url,
            Form::Pairs(pairs) => pairs,
            Form::Ado(ado) => ado,
        }
    }

    /// The string that leads to `place` without encryption, everything else as it was.
    pub(crate) fn leading_to(&self, place: &Place) -> String {
        self.spelling().leading_to(place)
    }

    /// The string for people: its password hidden.
    pub(crate) fn masked(&self) -> String {
        self.spelling().masked()
    }
}

#[cfg(test)]
mod tests;
