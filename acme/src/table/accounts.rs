//! Accounts, and what an authority wants of them.

use super::*;

#[test]
fn an_account_that_is_known_is_used_and_one_that_is_gone_is_made_anew() {
    run(async {
        let url = Some(Url::new("https://a.test/acct/old").unwrap());
        let account = Account { url, ..Account::generate().unwrap() };
        let mut table = Table::with(account.clone(), Settings::default(), &[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        let Ok(Did::Post { url, kid, .. }) = table.ask() else { panic!() };
        assert_eq!((&*url, kid.as_deref()), ("https://a.test/order", Some("https://a.test/acct/old")));
        table.tell(problem(400, "accountDoesNotExist")).unwrap();
        table
            .turn("https://a.test/account", answer(201, &[("Location", "https://a.test/acct/new")], "{}"))
            .unwrap();
        let Ok(Did::Post { url, kid, .. }) = table.ask() else { panic!() };
        assert_eq!((&*url, kid.as_deref()), ("https://a.test/order", Some("https://a.test/acct/new")));
        let end = table.tell(problem(400, "accountDoesNotExist"));
        assert_eq!(end, Err(refused("take an order", 400, "accountDoesNotExist")));
        // Where it has to be there already.
        let settings = Settings::default().existence(Existence::Required);
        let mut table = Table::with(Account::generate().unwrap(), settings, &[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], DIRECTORY)).unwrap();
        let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
        assert_eq!(payload, r#"{"onlyReturnExisting":true}"#);
        let end = table.tell(problem(400, "accountDoesNotExist"));
        assert_eq!(end, Err(refused("give an account", 400, "accountDoesNotExist")));
    });
}

#[test]
fn terms_are_agreed_to_or_it_ends() {
    run(async {
        let directory = DIRECTORY.replace("{", r#"{"meta":{"termsOfService":"https://a.test/terms"},"#);
        let mut table = Table::new(&[Way::Http]);
        let end = table.turn("https://a.test/dir", answer(200, &[], &directory));
        assert_eq!(end, Err(Error::TermsNotAgreed("https://a.test/terms".into())));
        let settings = Settings::default().terms(Terms::Agreed);
        let mut table = Table::with(Account::generate().unwrap(), settings, &[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], &directory)).unwrap();
        let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
        assert_eq!(payload, r#"{"termsOfServiceAgreed":true}"#);
    });
}

/// Whose binding is used up, and not among the parameters any more, has the account that it made.
#[test]
fn an_account_that_is_bound_needs_no_binding_again() {
    run(async {
        let directory = DIRECTORY.replace("{", r#"{"meta":{"externalAccountRequired":true},"#);
        let bound = Settings::default().external_account(ExternalAccount::new("kid", "a2V5").unwrap());
        let mut table = Table::with(Account::generate().unwrap(), bound, &[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], &directory)).unwrap();
        let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
        assert!(payload.starts_with(r#"{"externalAccountBinding":{"protected":""#), "{payload}");
        // Its URL is known.
        let url = Some(Url::new("https://a.test/acct/old").unwrap());
        let account = Account { url, ..Account::generate().unwrap() };
        let mut table = Table::with(account, Settings::default(), &[Way::Http]);
        table.turn("https://a.test/dir", answer(200, &[], &directory)).unwrap();
        let Ok(Did::Post { url, .. }) = table.ask() else { panic!() };
        assert_eq!(url, "https://a.test/order");
        // Its key alone is known, by us or by the authority too.
        for (said, end) in [
            (answer(200, &[("Location", "https://a.test/acct/1")], "{}"), Ok(())),
            (problem(400, "accountDoesNotExist"), Err(Error::NoExternalAccount)),
        ] {
            let mut table = Table::new(&[Way::Http]);
            table.turn("https://a.test/dir", answer(200, &[], &directory)).unwrap();
            let Ok(Did::Post { payload, .. }) = table.ask() else { panic!() };
            assert_eq!(payload, r#"{"onlyReturnExisting":true}"#);
            assert_eq!(table.tell(said), end);
        }
    });
}
