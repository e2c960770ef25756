use super::{choose, no_server, set_cookie};
use crate::balance::{Balancer, StickyCookie};
use std::sync::Arc;
use torana_http::{Endpoint, Exchange, LocalFuture, Response};

/// `weighted` and `highestRandomWeight`: the balancer's strategy tells them apart.
pub struct Weighted {
    pub name: Arc<str>,
    pub balancer: Arc<Balancer>,
    pub children: Vec<Arc<dyn Endpoint>>,
    pub sticky: Option<StickyCookie>,
}

impl Endpoint for Weighted {
    fn serve<'a>(&'a self, exchange: &'a mut Exchange) -> LocalFuture<'a, Response> {
        Box::pin(async move {
            let Some((pick, cookie)) = choose(&self.balancer, None, self.sticky.as_ref(), exchange) else { return no_server() };
            let Some(child) = self.children.get(pick.index) else { return no_server() };
            let mut response = child.serve(exchange).await;
            set_cookie(&mut response, self.sticky.as_ref(), cookie);
            response
        })
    }
}
