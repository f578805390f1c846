//! Users: the node's own words, in those of the admin API.

use ferrymq_admin_api::{AdminError, Owner, Permission, Reason, UserDeclaration, UserDeclared, UserView};
use ferrymq_broker::{self as broker, UserRefusal};

pub(crate) fn user_of(user: UserDeclaration) -> broker::User {
    let permission = |permission: Permission| broker::UserPermission {
        virtual_host: permission.virtual_host,
        configure: permission.configure,
        write: permission.write,
        read: permission.read,
    };
    broker::User {
        name: user.name,
        owner_name: user.owner.name,
        owner_uid: user.owner.uid,
        password: user.password,
        password_version: user.password_version,
        permissions: user.permissions.into_iter().map(permission).collect(),
    }
}

pub(crate) fn view_of(view: broker::UserView) -> UserView {
    let permission = |permission: broker::UserPermission| Permission {
        virtual_host: permission.virtual_host,
        configure: permission.configure,
        write: permission.write,
        read: permission.read,
    };
    let declared = view.declared.map(|declared| UserDeclared {
        owner: (!declared.owner_uid.is_empty()).then_some(Owner { name: declared.owner_name, uid: declared.owner_uid }),
        password_version: declared.password_version,
        permissions: declared.permissions.into_iter().map(permission).collect(),
    });
    UserView { name: view.name, declared }
}

pub(crate) fn refused(refusal: UserRefusal) -> AdminError {
    let reason = match &refusal {
        UserRefusal::Invalid(_) => Reason::Invalid,
        UserRefusal::Owned { .. } => Reason::Owned,
        UserRefusal::OfCluster { .. } => Reason::Incompatible,
        UserRefusal::NoVirtualHost { .. } => Reason::NotFound,
        UserRefusal::Unavailable(_) => Reason::Unavailable,
    };
    AdminError::new(reason, refusal.to_string())
}
