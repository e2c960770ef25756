use crate::bindings::hosts::torana::plugin::types::BodyAccess;

/// What a plugin wants to see. The gateway makes no call that is not asked for, and hands over only what is declared.
///
/// A middleware names its phases; what follows a phase is declared for it:
///
/// ```
/// # use torana_plugin_sdk::Interest;
/// // `on_request` with one header and the path, and `on_response` with the status.
/// Interest::request().header("x-user").path().and_response().status();
/// ```
///
/// Matchers and balancers use `Interest::request()`.
#[derive(Clone, Debug)]
pub struct Interest {
    pub(crate) request: Option<Vec<String>>,
    pub(crate) response: Option<Vec<String>>,
    pub(crate) request_body: BodyAccess,
    pub(crate) response_body: BodyAccess,
    in_response: bool,
}

impl Interest {
    /// Nothing at all.
    pub fn none() -> Interest {
        Interest { request: None, response: None, request_body: BodyAccess::None, response_body: BodyAccess::None, in_response: false }
    }

    /// `on_request` is called.
    pub fn request() -> Interest {
        Interest::none().and_request()
    }

    /// `on_response` is called.
    pub fn response() -> Interest {
        Interest::none().and_response()
    }

    /// `on_request` is called, too; what follows is declared for it.
    pub fn and_request(mut self) -> Interest {
        self.request.get_or_insert_default();
        self.in_response = false;
        self
    }

    /// `on_response` is called, too; what follows is declared for it.
    pub fn and_response(mut self) -> Interest {
        self.response.get_or_insert_default();
        self.in_response = true;
        self
    }

    fn value(mut self, name: String) -> Interest {
        let list = if self.in_response { &mut self.response } else { &mut self.request };
        let list = list.get_or_insert_default();
        if !list.contains(&name) {
            list.push(name);
        }
        self
    }

    /// A header: of the request in `on_request`, of the response in `on_response`.
    pub fn header(self, name: &str) -> Interest {
        self.value(name.to_ascii_lowercase())
    }

    /// Several headers.
    pub fn headers<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Interest {
        names.into_iter().fold(self, |interest, name| interest.header(name.as_ref()))
    }

    /// The method of the request.
    pub fn method(self) -> Interest {
        self.value(":method".into())
    }

    /// `http` or `https`.
    pub fn scheme(self) -> Interest {
        self.value(":scheme".into())
    }

    /// The host that the client asked for.
    pub fn host(self) -> Interest {
        self.value(":host".into())
    }

    /// The path of the request, and the query.
    pub fn path(self) -> Interest {
        self.value(":path".into())
    }

    /// The address of the client.
    pub fn client_ip(self) -> Interest {
        self.value(":client-ip".into())
    }

    /// The protocol of the request.
    pub fn protocol(self) -> Interest {
        self.value(":protocol".into())
    }

    /// The name of the router.
    pub fn router(self) -> Interest {
        self.value(":router".into())
    }

    /// The name of the entry point.
    pub fn entry_point(self) -> Interest {
        self.value(":entry-point".into())
    }

    /// The status of the response; declares `on_response` if nothing did.
    pub fn status(mut self) -> Interest {
        self = self.and_response();
        self.value(":status".into())
    }

    /// The request waits until its body is complete; [`Request::body`](crate::Request::body) gives it. A body longer than the plugin's
    /// `limits.body` is refused with 413.
    pub fn buffer_request_body(mut self) -> Interest {
        self.request_body = BodyAccess::Buffered;
        self
    }

    /// Each piece of the request's body goes through `on_request_body`.
    pub fn stream_request_body(mut self) -> Interest {
        self.request_body = BodyAccess::Streamed;
        self
    }

    /// The response waits until its body is complete; [`Response::body`](crate::Response::body) gives it. A body longer than the plugin's
    /// `limits.body` is refused with 502.
    pub fn buffer_response_body(mut self) -> Interest {
        self.response_body = BodyAccess::Buffered;
        self
    }

    /// Each piece of the response's body goes through `on_response_body`.
    pub fn stream_response_body(mut self) -> Interest {
        self.response_body = BodyAccess::Streamed;
        self
    }
}
