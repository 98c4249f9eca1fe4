//! What a model's function returns, and how errors of its sites and its own errors leave it.
//!
//! `#[model]` sees how a return type is spelled, not what it is: an alias may hide a `Result`. So the
//! generated code asks the compiler. [`Returns::kind`] is an inherent method for `Result` and
//! `Option`, and a method of a trait, which has lower priority, for all other types. How the error inside a
//! `Result` becomes one of this crate is chosen in the same way, with one reference less for every trait
//! that does not apply ("autoref specialization").

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::Context;

/// The return type of a model's function.
pub struct Returns<T>(PhantomData<fn() -> T>);

impl<T> Returns<T> {
    /// The type, to be asked for its `kind`.
    #[expect(clippy::new_without_default, reason = "generated code alone makes one")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T, E> Returns<Result<T, E>> {
    /// The kind of a `Result`.
    pub const fn kind(self) -> Carrier<Result<T, E>> {
        Carrier(PhantomData)
    }
}

impl<T> Returns<Option<T>> {
    /// The kind of an `Option`.
    pub const fn kind(self) -> Carrier<Option<T>> {
        Carrier(PhantomData)
    }
}

/// Any other type.
pub trait AnyValue<T> {
    /// The kind of a value that carries no errors.
    fn kind(self) -> Plain<T>;
}

impl<T> AnyValue<T> for Returns<T> {
    fn kind(self) -> Plain<T> {
        Plain(PhantomData)
    }
}

/// A return type that carries no errors: the body is made to return a `Result` of it.
pub struct Plain<T>(PhantomData<fn() -> T>);

/// A return type that works with `?`: the body returns it as it is.
pub struct Carrier<R>(PhantomData<fn() -> R>);

impl<T> Clone for Plain<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Plain<T> {}

impl<R> Clone for Carrier<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Carrier<R> {}

impl<T> Plain<T> {
    /// The body, which tells the compiler its type.
    pub fn body<B: Fn(&Context) -> Result<T>>(self, body: B) -> B {
        body
    }

    /// What the body returns for a value.
    pub fn value(self, value: T) -> Result<T> {
        Ok(value)
    }

    /// What the body returns for the error of a site.
    pub fn leave(self, _: &Context, error: Error) -> Result<T> {
        Err(error)
    }

    /// The model's output.
    ///
    /// # Errors
    /// The body's; and if a type parameter of a generic model stands for a `Result`, whose error would
    /// be ignored.
    pub fn finish(
        self,
        _: &Context,
        returned: Result<T>,
        _: impl FnOnce(Infallible) -> Error,
    ) -> Result<T> {
        if std::any::type_name::<T>().starts_with("core::result::Result<") {
            return Err(Error::Model(
                "a type parameter that the model returns stands for a `Result`; write the \
                 `Result` in the return type, so that its error ends the run"
                    .into(),
            ));
        }
        returned
    }
}

impl<R> Carrier<R> {
    /// The body, which tells the compiler its type.
    pub fn body<B: Fn(&Context) -> R>(self, body: B) -> B {
        body
    }

    /// What the body returns for a value.
    pub fn value(self, value: R) -> R {
        value
    }
}

impl<T> Carrier<Option<T>> {
    /// What the body returns for the error of a site; the error waits in the context.
    pub fn leave(self, context: &Context, error: Error) -> Option<T> {
        context.fail(error);
        None
    }

    /// The model's output: `None` is a valid one, unless a site failed.
    ///
    /// # Errors
    /// That of the site.
    pub fn finish(
        self,
        context: &Context,
        returned: Option<T>,
        _: impl FnOnce(Infallible) -> Error,
    ) -> Result<Option<T>> {
        context.failure().map_or(Ok(returned), Err)
    }
}

impl<T, E> Carrier<Result<T, E>> {
    /// What the body returns for the error of a site. The error itself waits in the context, with
    /// its type.
    pub fn leave(self, context: &Context, error: Error) -> Result<T, E>
    where
        E: FromSite,
    {
        context.fail(error.clone());
        Err(E::from_site(error))
    }

    /// The model's output, where the return type is written as a `Result`.
    ///
    /// # Errors
    /// That of a site, or the function's own.
    pub fn finish_inside(
        self,
        context: &Context,
        returned: Result<T, E>,
        convert: impl FnOnce(E) -> Error,
    ) -> Result<T> {
        match context.failure() {
            Some(error) => Err(error),
            None => returned.map_err(convert),
        }
    }

    /// The model's output, where an alias hides the `Result`: always `Ok`.
    ///
    /// # Errors
    /// That of a site, or the function's own.
    pub fn finish(
        self,
        context: &Context,
        returned: Result<T, E>,
        convert: impl FnOnce(E) -> Error,
    ) -> Result<Result<T, E>> {
        self.finish_inside(context, returned, convert).map(Ok)
    }
}

/// A user's error type that a site's error can pass through.
#[diagnostic::on_unimplemented(
    message = "an error of a site cannot leave this model: `{Self}` is not made from `relax_runtime::Error`",
    note = "implement `From<relax_runtime::Error>` for `{Self}`, or return a `relax_runtime::Result`"
)]
pub trait FromSite {
    /// Converts the error of a site.
    fn from_site(error: Error) -> Self;
}

impl<E: From<Error>> FromSite for E {
    fn from_site(error: Error) -> Self {
        error.into()
    }
}

/// A `Result`, as the return type of a model is written.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is written like the `Result` of the standard library, but is another type",
    note = "give the type another name in this model: `use my::Result as Outcome;`"
)]
pub trait Fallible {
    /// Its success type.
    type Ok;
}

impl<T, E> Fallible for Result<T, E> {
    type Ok = T;
}

/// The type of an error that is to become one of this crate.
pub struct ErrorOf<E>(PhantomData<fn() -> E>);

impl<E> ErrorOf<E> {
    /// The type of this error.
    pub const fn of(_: &E) -> Self {
        Self(PhantomData)
    }
}

/// An error that defines its own conversion to one of this crate.
pub trait OwnError<E> {
    /// The converted error.
    fn convert(self, error: E) -> Error;
}

impl<E: Into<Error>> OwnError<E> for &&&&ErrorOf<E> {
    fn convert(self, error: E) -> Error {
        error.into()
    }
}

/// An error that can be shared between threads, or text.
pub trait SharedError<E> {
    /// The converted error.
    fn convert(self, error: E) -> Error;
}

impl<E: Into<Box<dyn StdError + Send + Sync>>> SharedError<E> for &&&ErrorOf<E> {
    fn convert(self, error: E) -> Error {
        match error.into().downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => Error::User(Arc::from(other)),
        }
    }
}

/// An error that cannot leave its thread: its text and that of its sources are kept.
pub trait BoxedError<E> {
    /// The converted error.
    fn convert(self, error: E) -> Error;
}

impl<E: Into<Box<dyn StdError>>> BoxedError<E> for &&ErrorOf<E> {
    fn convert(self, error: E) -> Error {
        match error.into().downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => Error::User(Arc::new(Told::by(&*other))),
        }
    }
}

/// An error that can only be displayed.
pub trait ShownError<E> {
    /// The converted error.
    fn convert(self, error: E) -> Error;
}

impl<E: fmt::Display> ShownError<E> for &ErrorOf<E> {
    fn convert(self, error: E) -> Error {
        Error::User(Arc::new(Told::new(error.to_string())))
    }
}

/// An error of which nothing but the type is known.
pub trait AnyError<E> {
    /// The converted error.
    fn convert(self, error: E) -> Error;
}

impl<E> AnyError<E> for ErrorOf<E> {
    fn convert(self, _: E) -> Error {
        let name = std::any::type_name::<E>();
        Error::User(Arc::new(Told::new(format!(
            "the model returned a `{name}`"
        ))))
    }
}

/// The text of an error that could not be kept, and of its sources.
#[derive(Debug)]
struct Told {
    text: String,
    source: Option<Box<Told>>,
}

impl Told {
    fn new(text: String) -> Self {
        Self { text, source: None }
    }

    fn by(error: &dyn StdError) -> Self {
        Self {
            text: error.to_string(),
            source: error.source().map(|source| Box::new(Self::by(source))),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Told {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
