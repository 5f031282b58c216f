use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("data")).unwrap();
    (dir, store)
}

fn name(text: &str) -> AgentName {
    text.parse().unwrap()
}

fn token(byte: u8) -> Secret {
    Secret::new([byte; SECRET_LEN])
}

#[test]
fn a_secret_lets_one_token_in_and_then_nobody() {
    let (_dir, store) = store();
    let secret = store.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    let admit = |byte, secret: Option<&Secret>| {
        store
            .admit_agent(&name("shed"), &token(byte), secret)
            .unwrap()
    };
    assert_eq!(admit(1, None), None);
    assert_eq!(admit(1, Some(&token(9))), None);
    assert_eq!(admit(1, Some(&secret)), Some(Credential::Joined));
    assert_eq!(admit(1, Some(&secret)), Some(Credential::Token));
    assert_eq!(admit(1, None), Some(Credential::Token));
    assert_eq!(admit(2, Some(&secret)), None);
    assert_eq!(admit(2, None), None);
}

#[test]
fn a_secret_is_good_for_its_own_name_only() {
    let (_dir, store) = store();
    let secret = store.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    store.add_agent(&name("barn"), JOIN_LIFETIME).unwrap();
    assert_eq!(
        store
            .admit_agent(&name("barn"), &token(1), Some(&secret))
            .unwrap(),
        None
    );
    assert_eq!(
        store
            .admit_agent(&name("nobody"), &token(1), Some(&secret))
            .unwrap(),
        None
    );
    assert!(
        store
            .agents()
            .unwrap()
            .iter()
            .all(|agent| agent.joined.is_none())
    );
}

#[test]
fn an_expired_secret_is_worth_nothing() {
    let (_dir, store) = store();
    let secret = store.add_agent(&name("shed"), Duration::ZERO).unwrap();
    assert_eq!(
        store
            .admit_agent(&name("shed"), &token(1), Some(&secret))
            .unwrap(),
        None
    );
}

#[test]
fn removal_ends_a_token_even_when_the_name_comes_back() {
    let (_dir, store) = store();
    let secret = store.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    store
        .admit_agent(&name("shed"), &token(1), Some(&secret))
        .unwrap();
    assert!(
        store
            .is_enrolled(&name("shed"), TokenHash::of(&token(1)))
            .unwrap()
    );
    store.remove_agent("shed").unwrap();
    assert!(
        !store
            .is_enrolled(&name("shed"), TokenHash::of(&token(1)))
            .unwrap()
    );
    store.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    assert!(
        !store
            .is_enrolled(&name("shed"), TokenHash::of(&token(1)))
            .unwrap()
    );
    assert_eq!(
        store
            .admit_agent(&name("shed"), &token(1), Some(&secret))
            .unwrap(),
        None
    );
}

#[test]
fn a_second_agent_of_a_name_and_an_unknown_one_are_told() {
    let (_dir, store) = store();
    store.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    assert!(matches!(
        store.add_agent(&name("shed"), JOIN_LIFETIME),
        Err(Error::AgentExists(_))
    ));
    assert!(matches!(
        store.remove_agent("barn"),
        Err(Error::NoSuchAgent(_))
    ));
}

#[test]
fn only_one_of_many_agents_with_the_same_code_gets_in() {
    let (dir, store) = store();
    let secret = store.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    let threads: Vec<_> = (0..8)
        .map(|byte| {
            // Every second one is another process as far as SQLite can tell.
            let own = if byte % 2 == 0 {
                store.clone()
            } else {
                Store::open(&dir.path().join("data")).unwrap()
            };
            let secret = secret.clone();
            std::thread::spawn(move || {
                own.admit_agent(&name("shed"), &token(byte), Some(&secret))
                    .unwrap()
            })
        })
        .collect();
    let admitted = threads
        .into_iter()
        .filter_map(|thread| thread.join().unwrap())
        .count();
    assert_eq!(admitted, 1);
}

#[test]
fn what_one_process_changes_the_other_sees() {
    let (dir, store) = store();
    let cli = Store::open(&dir.path().join("data")).unwrap();
    cli.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    assert_eq!(store.agents().unwrap()[0].name, "shed");
    let gone = store
        .note_agents_seen(&[name("shed"), name("barn")])
        .unwrap();
    assert_eq!(gone, [name("barn")]);
    assert!(cli.agent("shed").unwrap().unwrap().last_seen.is_some());
    cli.remove_agent("shed").unwrap();
    assert_eq!(store.agent("shed").unwrap(), None);
}

#[test]
fn neither_secret_nor_token_is_in_the_files() {
    let (dir, store) = store();
    let secret = store.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    store
        .admit_agent(&name("shed"), &token(0x77), Some(&secret))
        .unwrap();
    for file in std::fs::read_dir(dir.path().join("data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for hidden in [secret.as_bytes().as_slice(), &[0x77; SECRET_LEN]] {
            assert!(!bytes.windows(SECRET_LEN).any(|window| window == hidden));
        }
    }
}

#[cfg(unix)]
#[test]
fn folder_and_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, store) = store();
    store.add_agent(&name("shed"), JOIN_LIFETIME).unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("data")), 0o700);
    for file in std::fs::read_dir(dir.path().join("data")).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn a_file_of_a_newer_program_is_left_alone() {
    let (dir, store) = store();
    store
        .writer()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(&dir.path().join("data")).unwrap_err();
    assert!(
        matches!(error, Error::NewerSchema { found: 99, .. }),
        "{error}"
    );
}
