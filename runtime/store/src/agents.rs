//! The agents: who was invited, who has joined, with which key.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proto_tunnel::{AgentName, SECRET_LEN, Secret};
use rusqlite::{OptionalExtension, Row, TransactionBehavior, params};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Error, Store};

/// How long a join code is good for: long enough to carry it to a site, short enough to be forgotten in a mail.
pub const JOIN_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Most agents of one gateway; a slip in a script must not fill the disk.
pub const MAX_AGENTS: usize = 10_000;

/// One agent as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// When it was added.
    pub created: SystemTime,
    /// When it first joined; `None` while its join code is unused.
    pub joined: Option<SystemTime>,
    /// Until when its unused join code is good.
    pub join_expiry: Option<SystemTime>,
    /// When it was connected last.
    pub last_seen: Option<SystemTime>,
}

/// SHA-256 of an agent's token. Tokens have 256 random bits, so no salt or slow hash is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token or secret.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// How an agent proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Its token is the stored one.
    Token,
    /// Its one-time secret was good: the token is stored now and the secret used up.
    Joined,
}

impl Store {
    /// Adds an agent and gives its one-time secret, which is stored nowhere.
    ///
    /// # Errors
    /// [`Error::AgentExists`], [`Error::TooManyAgents`], or the file's failure.
    pub fn add_agent(&self, name: &AgentName, lifetime: Duration) -> Result<Secret, Error> {
        let mut bytes = [0; SECRET_LEN];
        getrandom::fill(&mut bytes).map_err(Error::Random)?;
        let secret = Secret::new(bytes);
        let now = now();
        let expiry = now.saturating_add(seconds(lifetime));
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let count: u32 =
            transaction.query_row("SELECT count(*) FROM agents", [], |row| row.get(0))?;
        if count as usize >= MAX_AGENTS {
            return Err(Error::TooManyAgents(MAX_AGENTS));
        }
        let added = transaction.execute(
            "INSERT INTO agents (name, created, secret_hash, secret_expiry) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![name.as_str(), now, TokenHash::of(&secret).0, expiry],
        )?;
        if added == 0 {
            return Err(Error::AgentExists(name.to_string()));
        }
        transaction.commit()?;
        Ok(secret)
    }

    /// All agents, by name.
    ///
    /// # Errors
    /// The file's failure.
    pub fn agents(&self) -> Result<Vec<Agent>, Error> {
        let reader = self.reader();
        let mut query = reader.prepare_cached(
            "SELECT name, created, joined, secret_expiry, last_seen FROM agents ORDER BY name",
        )?;
        let agents = query.query_map([], agent)?.collect::<Result<_, _>>()?;
        Ok(agents)
    }

    /// One agent.
    ///
    /// # Errors
    /// The file's failure.
    pub fn agent(&self, name: &str) -> Result<Option<Agent>, Error> {
        let reader = self.reader();
        let mut query = reader.prepare_cached(
            "SELECT name, created, joined, secret_expiry, last_seen FROM agents WHERE name = ?1",
        )?;
        Ok(query.query_row([name], agent).optional()?)
    }

    /// Removes an agent: its token and join code are worth nothing from now on.
    ///
    /// # Errors
    /// [`Error::NoSuchAgent`], or the file's failure.
    pub fn remove_agent(&self, name: &str) -> Result<(), Error> {
        match self
            .writer()
            .execute("DELETE FROM agents WHERE name = ?1", [name])?
        {
            0 => Err(Error::NoSuchAgent(name.to_owned())),
            _ => Ok(()),
        }
    }

    /// Checks what an agent presents. The token decides if it is the stored one; else an unused, unexpired secret
    /// lets it in and binds the token to the name, both in one transaction. Any other case changes nothing, and
    /// takes the same time for an unknown name as for a wrong secret.
    ///
    /// # Errors
    /// The file's failure. A wrong credential is `Ok(None)`.
    pub fn admit_agent(
        &self,
        name: &AgentName,
        token: &Secret,
        join_secret: Option<&Secret>,
    ) -> Result<Option<Credential>, Error> {
        let token = TokenHash::of(token);
        let secret = join_secret.map(TokenHash::of);
        let now = now();
        let stored = {
            let reader = self.reader();
            let mut query = reader.prepare_cached(
                "SELECT token_hash, secret_hash, secret_expiry FROM agents WHERE name = ?1",
            )?;
            query
                .query_row([name.as_str()], Stored::from_row)
                .optional()?
                .unwrap_or_default()
        };
        let has_token = matches(stored.token, Some(token));
        let has_secret = matches(stored.secret, secret) & (stored.expiry > now);
        if has_token {
            return Ok(Some(Credential::Token));
        }
        if !has_secret {
            return Ok(None);
        }
        // Between the look and this write another agent may have used the secret: the condition decides.
        let joined = self.writer().execute(
            "UPDATE agents SET token_hash = ?2, joined = ?4, secret_hash = NULL, secret_expiry = NULL
             WHERE name = ?1 AND secret_hash = ?3 AND secret_expiry > ?4",
            params![name.as_str(), token.0, secret.map(|hash| hash.0), now],
        )?;
        Ok((joined == 1).then_some(Credential::Joined))
    }

    /// Whether this token is still the one of this agent: `false` after a removal, also when the name was given
    /// out again.
    ///
    /// # Errors
    /// The file's failure.
    pub fn is_enrolled(&self, name: &AgentName, token: TokenHash) -> Result<bool, Error> {
        let reader = self.reader();
        let mut query = reader.prepare_cached("SELECT token_hash FROM agents WHERE name = ?1")?;
        let stored: Option<Option<[u8; 32]>> = query
            .query_row([name.as_str()], |row| row.get(0))
            .optional()?;
        Ok(matches(stored.flatten(), Some(token)))
    }

    /// The token of every agent that has joined, by name: one look for all sessions at once.
    ///
    /// # Errors
    /// The file's failure.
    pub fn enrolled(&self) -> Result<HashMap<String, TokenHash>, Error> {
        let reader = self.reader();
        let mut query = reader
            .prepare_cached("SELECT name, token_hash FROM agents WHERE token_hash IS NOT NULL")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, TokenHash(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that agents are connected, or were until now, all in one write: which of them are no longer known.
    ///
    /// # Errors
    /// The file's failure.
    pub fn note_agents_seen(&self, names: &[AgentName]) -> Result<Vec<AgentName>, Error> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut gone, now) = (Vec::new(), now());
        for name in names {
            let mut seen =
                transaction.prepare_cached("UPDATE agents SET last_seen = ?2 WHERE name = ?1")?;
            if seen.execute(params![name.as_str(), now])? == 0 {
                gone.push(name.clone());
            }
        }
        transaction.commit()?;
        Ok(gone)
    }
}

#[derive(Default)]
struct Stored {
    token: Option<[u8; 32]>,
    secret: Option<[u8; 32]>,
    expiry: i64,
}

impl Stored {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            token: row.get(0)?,
            secret: row.get(1)?,
            expiry: row.get::<_, Option<i64>>(2)?.unwrap_or(0),
        })
    }
}

/// Compares in constant time; what is absent on either side is compared with zeros and never matches.
fn matches(stored: Option<[u8; 32]>, shown: Option<TokenHash>) -> bool {
    let present = stored.is_some() & shown.is_some();
    let equal = stored
        .unwrap_or_default()
        .ct_eq(&shown.map_or([0; 32], |hash| hash.0));
    present & bool::from(equal)
}

fn agent(row: &Row<'_>) -> rusqlite::Result<Agent> {
    let time = |at: Option<i64>| {
        at.map(|at| UNIX_EPOCH + Duration::from_secs(u64::try_from(at).unwrap_or(0)))
    };
    Ok(Agent {
        name: row.get(0)?,
        created: time(row.get(1)?).unwrap_or(UNIX_EPOCH),
        joined: time(row.get(2)?),
        join_expiry: time(row.get(3)?),
        last_seen: time(row.get(4)?),
    })
}

pub(crate) fn now() -> i64 {
    seconds(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
