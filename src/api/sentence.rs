//! What is said of a wrong field: by the API server at admission, by the operator in a condition, by `dev` with line
//! and field.

pub(crate) const NAME: &str = "the name of a MessageQueue becomes part of the names of its pods and services: use at most 40 lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit";

pub(crate) const REPLICAS: &str =
    "replicas must be between 0 and 99; with 0 no broker runs, and the volumes keep what they hold";

pub(crate) const MIRRORS: &str = "mirrors must be between 1 and 7; 3 survive the loss of one broker, 5 of two";

pub(crate) const MIRRORS_OVER_REPLICAS: &str =
    "mirrors must be at most replicas: each mirror needs a broker of its own; raise replicas or lower mirrors";

pub(crate) const MIRRORS_CHANGED: &str = "mirrors cannot be changed once the MessageQueue is made, because queues that took it as their default would not follow; set mirrors on the Topic instead";

pub(crate) const SIZE: &str =
    "storage.size must be a quantity of at least 64Mi, such as 20Gi; the journal of a broker needs room to write";

pub(crate) const GROW_LIMIT: &str = "storage.autoGrow.limit must be a quantity of at least storage.size, such as 100Gi";

pub(crate) const STORAGE_CLASS_CHANGED: &str = "storage.storageClassName cannot be changed, because volumes keep the class that they were made with; make a second MessageQueue instead";

pub(crate) const LISTENER_PORT: &str = "a listener's port must be between 1024 and 65535 (brokers do not run as root), and none of 7400, 7500 and 9419 (links, admin API, metrics)";

pub(crate) const LISTENER_PORTS_UNIQUE: &str = "two listeners have the same port; give each its own";

pub(crate) const LISTENER_NAME: &str = "a listener's name becomes the name of a port: use at most 15 lower-case letters, digits and '-', with a letter among them and no '-' at either end; 'link', 'admin' and 'metrics' are the broker's own";

pub(crate) const LISTENER_NAMES_UNIQUE: &str = "two listeners have the same name; give each its own";

pub(crate) const LISTENERS_EMPTY: &str = "at least one listener is needed; leave listeners out for the usual ones";

pub(crate) const LISTENERS_TOO_MANY: &str = "at most 16 listeners are possible";

pub(crate) const PEERS_TOO_MANY: &str = "from has at most 32 peers; use selectors that hold for more";

pub(crate) const EXPOSE_PORT: &str = "a port is a number between 1 and 65535";

pub(crate) const EXPOSE_NODE_PORT: &str =
    "expose.nodePort is for type NodePort or LoadBalancer; with ClusterIP no machine has a port for it";

pub(crate) const EXPOSE_BALANCER: &str = "expose.loadBalancerClass and expose.loadBalancerSourceRanges are for type LoadBalancer; with another one they change nothing";

pub(crate) const EXPOSE_TRAFFIC: &str =
    "expose.externalTrafficPolicy is for type NodePort or LoadBalancer; nothing comes from outside with ClusterIP";

pub(crate) const EXPOSE_RANGES: &str =
    "expose.loadBalancerSourceRanges are at most 64 blocks of addresses, such as 203.0.113.0/24";

pub(crate) const EXPOSE_HOST: &str = "expose.host is the name of a host in lower case, such as mq.shop.example";

pub(crate) const EXPOSE_BROKER_HOST: &str = "expose.brokerHost is the name of a host whose first part has {ordinal} for the broker's number, with '-' on either side of it where there is more: mq-{ordinal}.shop.example";

pub(crate) const EXPOSE_BROKER_HOST_UNUSED: &str =
    "expose.brokerHost is for eachBroker: true; without it no broker has a Service of its own";

pub(crate) const WINDOW_CRON: &str = "cron has the five fields of a crontab (minute, hour, day of the month, month, day of the week), such as '0 3 * * 0' for Sundays at three, and the time zone a field of its own, such as Europe/Berlin";

pub(crate) const WINDOW_DURATION: &str = "a window's duration must be between 1m and 7d, such as 2h";

pub(crate) const WINDOWS_TOO_MANY: &str = "at most 16 maintenance windows are possible";

pub(crate) const TLS_LISTENER_WITHOUT_TLS: &str = "a listener has tls: true, and there is no certificate for it; say in spec.tls where it comes from (mode Generated makes one)";

pub(crate) const TLS_WITHOUT_LISTENER: &str = "spec.tls is set, and no listener has tls: true; set it on one, or leave listeners out for the usual two (amqp at 5672, amqps at 5671)";

pub(crate) const TLS_SECRET_NAME: &str =
    "tls.secretName is needed with mode Secret, and only then; it names the Secret with tls.crt and tls.key";

pub(crate) const TLS_ISSUER: &str =
    "tls.issuerRef is needed with mode CertManager, and only then; it names the issuer of the certificate";

pub(crate) const TLS_NAMES: &str =
    "tls.names are at most 32 names of hosts in lower case (mq.shop.example, *.shop.example) or IPv4 addresses";

pub(crate) const TLS_NAMES_UNUSED: &str =
    "tls.names are for certificates that are made (mode Generated or CertManager); in this mode they change nothing";

pub(crate) const TLS_DURATION: &str =
    "a certificate's duration must be a time of at least one hour, such as 90d or 12h (units d, h, m, s)";

pub(crate) const TLS_DURATION_UNUSED: &str = "tls.certificateDuration is for certificates that are made (mode Generated or CertManager); in this mode it changes nothing";

pub(crate) const TLS_AUTHORITY_DURATION_UNUSED: &str =
    "tls.authorityDuration is for the authority that mode Generated makes; in this mode it changes nothing";

pub(crate) const MEMORY: &str = "config.memoryHighWater must be a quantity of at least 16Mi, such as 512Mi";

pub(crate) const RESERVED_LABEL: &str =
    "labels that begin with app.kubernetes.io/ or ferrymq.io/ are the operator's own; use others";

pub(crate) const RESERVED_ANNOTATION: &str =
    "annotations that begin with ferrymq.io/ are the operator's own; use others";

pub(crate) const IMAGE: &str = "image must not be empty; leave it out for the image that the operator brings";

pub(crate) const TOPIC_NAME: &str =
    "a topic's name has 1 to 255 bytes, no line break, and does not begin with 'amq.', which is reserved";

pub(crate) const TOPIC_NAME_CHANGED: &str =
    "the name of a topic cannot be changed; make a second Topic, and delete this one when it is empty";

pub(crate) const TOPIC_CLUSTER: &str =
    "cluster is the name of a MessageQueue in the same namespace, and must not be empty";

pub(crate) const TOPIC_CLUSTER_CHANGED: &str =
    "cluster cannot be changed, because messages do not move with it; make a second Topic in the other cluster";

pub(crate) const VIRTUAL_HOST: &str =
    "a virtual host's name has 1 to 255 bytes and no line break; the first one is called '/'";

pub(crate) const VIRTUAL_HOST_CHANGED: &str =
    "virtualHost cannot be changed, because messages do not move with it; make a second Topic";

pub(crate) const TYPE_CHANGED: &str =
    "type cannot be changed, because bindings mean something else under another type; make a second Topic";

pub(crate) const TOPIC_MIRRORS_CHANGED: &str =
    "mirrors of a Topic cannot be changed by this version; make a second Topic with as many as you want";

pub(crate) const PARTITIONS: &str = "partitions must be between 0 (nothing is kept but in queues) and 1024";

pub(crate) const PARTITIONS_LOWERED: &str =
    "partitions cannot be lowered, because the messages of those that go would be lost; make a second Topic";

pub(crate) const PARTITION_NAME: &str =
    "a partition of the topic has that name, which is the topic's and a number; give the queue another one";

pub(crate) const PARTITION_NAME_LONG: &str =
    "the names of partitions, which are the topic's and a number, would have more than 255 bytes";

pub(crate) const RETENTION_WITHOUT_PARTITIONS: &str =
    "retention is of partitions, of which there are none; set partitions to at least 1, or leave retention out";

pub(crate) const RETENTION_EMPTY: &str = "retention needs age, bytes, or both; leave it out to keep everything";

pub(crate) const RETENTION_AGE: &str =
    "retention.age must be a time of at least one second, such as 7d, 12h or 1d12h (units d, h, m, s)";

pub(crate) const RETENTION_BYTES: &str = "retention.bytes must be a quantity of at least 1Mi, such as 10Gi";

pub(crate) const QUEUE_NAME: &str =
    "a queue's name has 1 to 255 bytes, no line break, and does not begin with 'amq.', which is reserved";

pub(crate) const QUEUE_NAMES_UNIQUE: &str = "two queues of the topic have the same name; give each its own";

pub(crate) const QUEUES_TOO_MANY: &str = "a topic has at most 256 queues; use several topics";

pub(crate) const ROUTING_KEY: &str = "a routing key has at most 255 bytes and no line break";

pub(crate) const ROUTING_KEYS_TOO_MANY: &str = "a queue has at most 64 routing keys; use a pattern";

pub(crate) const BINDING_SOURCE: &str = "bindings.source is the name of another exchange, has 1 to 255 bytes and no line break, and is not the topic itself";

pub(crate) const BINDINGS_TOO_MANY: &str = "a topic has at most 256 bindings; use a pattern";

pub(crate) const USER_NAME: &str = "a user's name has 1 to 255 bytes and no control characters";

pub(crate) const USER_NAME_CHANGED: &str =
    "the name of a user cannot be changed; make a second User, and delete this one when nobody uses it any more";

pub(crate) const USER_RESOURCE_NAME: &str =
    "the name of a User becomes part of the name of its Secret: use at most 200 characters; spec.name may be longer";

pub(crate) const USER_CLUSTER: &str =
    "cluster is the name of a MessageQueue in the same namespace, and must not be empty";

pub(crate) const USER_CLUSTER_CHANGED: &str = "cluster cannot be changed; make a second User in the other cluster";

pub(crate) const PASSWORD_SECRET: &str = "passwordSecret.name is the name of a Secret in the same namespace; leave passwordSecret out to have a password made";

pub(crate) const SECRET_KEY: &str = "a key of a Secret must not be empty; leave it out for the usual one";

pub(crate) const EXPRESSION: &str = "a permission is a regular expression of at most 1024 characters (RE2: no look-around, no back-references), such as ^orders\\.; an empty one allows nothing, and .* everything";

pub(crate) const PERMISSION_TWICE: &str =
    "two permissions are of the same virtual host; write one of them, with both expressions joined by |";

pub(crate) const PERMISSIONS_TOO_MANY: &str = "a user has permissions on at most 64 virtual hosts";

pub(crate) const BACKUP_SCHEDULE: &str = "a schedule is a crontab of five fields in UTC (minute, hour, day of the month, month, day of the week), such as '0 2 * * *'";

pub(crate) const BACKUP_DESTINATION: &str =
    "a destination is one of s3, gcs, azure and volumeClaim; set one of them, and only one";

pub(crate) const BACKUP_ENDPOINT: &str =
    "s3.endpoint is a URL that begins with http:// or https://; leave it out for Amazon's";

pub(crate) const BACKUP_BANDWIDTH: &str =
    "backup.bandwidth must be a quantity of at least 64Ki, such as 50Mi; leave it out for no limit";

pub(crate) const BACKUP_LAST: &str = "retention.last must be between 1 and 1000: the last backup is always kept";

pub(crate) const BACKUP_NAME: &str =
    "the name of a Backup becomes part of the names of objects in the archive: use at most 200 characters";

pub(crate) const BACKUP_CLUSTER: &str =
    "cluster is the name of a MessageQueue in the same namespace, and must not be empty";

pub(crate) const BACKUP_CLUSTER_CHANGED: &str = "cluster cannot be changed; make a second Backup of the other cluster";

pub(crate) const RESTORE_TWICE: &str =
    "a restore is to a backup or to a time, and not to both; leave both out for all that was archived";

pub(crate) const RESTORE_TIME: &str =
    "restoreFrom.time is a time with its zone, as RFC 3339 writes it, such as 2026-11-28T14:03:20Z";

pub(crate) const RESTORE_CLUSTER: &str = "restoreFrom.cluster is namespace and name of a MessageQueue, such as shop/orders; or its folder in the archive, with the uid behind that";

pub(crate) const RESTORE_CHANGED: &str = "restoreFrom can only be said when the MessageQueue is made: nothing is restored into a cluster that is there; make a second MessageQueue instead";
