"""Django 5 on psycopg 3: `python django_app.py list|run …` (see scenario.py). In autocommit, unless it says otherwise."""

import secrets
import sys
import time
from contextlib import contextmanager
from types import ModuleType
from urllib.parse import urlsplit

import django
from django.apps import AppConfig
from django.conf import settings


class ShopConfig(AppConfig):
    """Without an app of their own, models don't see each other's relations."""

    path = "."


settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "USER": "postgres", "NAME": ""}},
    INSTALLED_APPS=["django.contrib.postgres", ShopConfig("shop", ModuleType("shop"))], DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", USE_TZ=True)
django.setup()

from django.contrib.postgres.operations import AddIndexConcurrently  # noqa: E402
from django.core.paginator import Paginator  # noqa: E402
from django.db import connection, migrations, models, transaction  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402,F401
from django.db.migrations.state import ModelState, ProjectState  # noqa: E402
from django.db.models import Count, F, Prefetch  # noqa: E402

from scenario import CHAIN_PAUSE_S, finds, kind, main, n_plus_one, silent, truth  # noqa: E402

PAGE = 40
PAGE_CUSTOMERS = 23


class Shown(models.Model):
    """Tables that shop.sql made."""

    class Meta:
        abstract = True
        managed = False
        app_label = "shop"


class Country(Shown):
    id = models.IntegerField(primary_key=True)
    name = models.TextField()

    class Meta(Shown.Meta):
        abstract = False
        db_table = "countries"


class Customer(Shown):
    id = models.IntegerField(primary_key=True)
    name = models.TextField()
    email = models.TextField()
    country = models.ForeignKey(Country, models.PROTECT)

    class Meta(Shown.Meta):
        abstract = False
        db_table = "customers"


class Product(Shown):
    id = models.IntegerField(primary_key=True)
    category_id = models.IntegerField()
    sku = models.TextField()
    name = models.TextField()
    stock = models.IntegerField()

    class Meta(Shown.Meta):
        abstract = False
        db_table = "products"


class Order(Shown):
    id = models.BigIntegerField(primary_key=True)
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="orders")
    status = models.TextField()

    class Meta(Shown.Meta):
        abstract = False
        db_table = "orders"


class Item(Shown):
    id = models.BigIntegerField(primary_key=True)
    order = models.ForeignKey(Order, models.PROTECT, related_name="items")
    product = models.ForeignKey(Product, models.PROTECT)
    quantity = models.IntegerField()

    class Meta(Shown.Meta):
        abstract = False
        db_table = "items"


class Document(Shown):
    id = models.IntegerField(primary_key=True)
    title = models.TextField()
    body = models.TextField()

    class Meta(Shown.Meta):
        abstract = False
        db_table = "documents"


class Event(Shown):
    id = models.IntegerField(primary_key=True)
    device = models.TextField()
    kind = models.TextField()
    note = models.TextField(null=True)

    class Meta(Shown.Meta):
        abstract = False
        db_table = "events"


class Job(Shown):
    id = models.IntegerField(primary_key=True)
    state = models.TextField()
    payload = models.TextField()

    class Meta(Shown.Meta):
        abstract = False
        db_table = "jobs"


class Tag(Shown):
    id = models.BigAutoField(primary_key=True)
    name = models.TextField(unique=True)
    uses = models.IntegerField()

    class Meta(Shown.Meta):
        abstract = False
        db_table = "tags"


class SlowOrder(Shown):
    id = models.BigIntegerField(primary_key=True)
    status = models.TextField()

    class Meta(Shown.Meta):
        abstract = False
        db_table = "slow_orders"


class Shop:
    """The default connection, pointed at one database."""

    def __init__(self, url, name):
        address = urlsplit(url)
        connection.close()
        connection.settings_dict.update(PORT=str(address.port), NAME=address.path[1:], OPTIONS={"application_name": name})

    def play(self, scenario):
        return scenario()

    def close(self):
        connection.close()


def page(*relations, rows=PAGE):
    return Order.objects.order_by("-id").select_related(*relations)[:rows] if relations else Order.objects.order_by("-id")[:rows]


@finds(n_plus_one("orders.customer_id", "customers.id", gate="chain"), pause_s=CHAIN_PAUSE_S)
def lazy_to_one():
    """Django has no identity map: a customer is read again for each of its orders."""
    assert len({order.customer.name for order in page(rows=30)}) == PAGE_CUSTOMERS
    return truth(n=30, rows=30)


@finds(n_plus_one("items.product_id", "products.id", gate="chain"), pause_s=CHAIN_PAUSE_S)
def lazy_to_one_each_another():
    items = Item.objects.order_by("-id")[:30]
    assert len({item.product.name for item in items}) == 30
    return truth(n=30, rows=30)


@silent("n_plus_one", "looped_lookup", "duplicate_query", pause_s=CHAIN_PAUSE_S)
def lazy_to_one_select_related():
    assert len({order.customer.name for order in page("customer")}) == PAGE_CUSTOMERS


@finds(n_plus_one("orders.customer_id", "customers.id", gate="scope"))
def lazy_to_one_atomic():
    with transaction.atomic():
        assert len({order.customer.name for order in page()}) == PAGE_CUSTOMERS
    return truth(n=PAGE, rows=PAGE)


@finds(n_plus_one("orders.id", "items.order_id"), pause_s=CHAIN_PAUSE_S)
def lazy_to_many():
    assert sum(len(order.items.all()) for order in page()) > PAGE
    return truth(n=PAGE, rows=PAGE)


@silent("n_plus_one", pause_s=CHAIN_PAUSE_S)
def lazy_to_many_prefetched():
    assert sum(len(order.items.all()) for order in Order.objects.order_by("-id").prefetch_related("items")[:PAGE]) > PAGE


@finds(n_plus_one("orders.id", "items.order_id"), pause_s=CHAIN_PAUSE_S)
def prefetch_defeated_by_a_filter():
    orders = Order.objects.order_by("-id").prefetch_related("items")[:PAGE]
    assert all(len(order.items.filter(quantity__lte=2)) == 2 for order in orders)
    return truth(n=PAGE, rows=PAGE)


@silent("n_plus_one", pause_s=CHAIN_PAUSE_S)
def prefetch_of_a_filter():
    few = Prefetch("items", queryset=Item.objects.filter(quantity__lte=2), to_attr="few")
    assert all(len(order.few) == 2 for order in Order.objects.order_by("-id").prefetch_related(few)[:PAGE])


@finds(n_plus_one("orders.id", "items.order_id"), n_plus_one("items.product_id", "products.id", variant="nested"), pause_s=CHAIN_PAUSE_S)
def nested():
    seen = [item.product.id for order in page(rows=8) for item in order.items.all()]
    return [{"n": 8, "rows": 8}, {"n": len(seen)}]


@silent("n_plus_one", pause_s=CHAIN_PAUSE_S)
def nested_prefetched():
    orders = Order.objects.order_by("-id").prefetch_related("items__product")[:8]
    assert all(item.product.name for order in orders for item in order.items.all())


@finds(n_plus_one("customers.id", "orders.customer_id", variant="aggregate"), pause_s=CHAIN_PAUSE_S)
def count_per_parent():
    assert sum(customer.orders.count() for customer in Customer.objects.order_by("id")[:20]) > 20
    return truth(n=20, rows=20)


@finds(n_plus_one("customers.id", "orders.customer_id"), pause_s=CHAIN_PAUSE_S)
def exists_per_parent():
    assert all(customer.orders.exists() for customer in Customer.objects.order_by("id")[:20])
    return truth(n=20, rows=20)


@silent("n_plus_one", pause_s=CHAIN_PAUSE_S)
def count_annotated():
    assert sum(c.counted for c in Customer.objects.annotate(counted=Count("orders")).order_by("id")[:20]) > 20


@finds(n_plus_one("products.id", "products.id", variant="refresh"), pause_s=CHAIN_PAUSE_S)
def deferred_column_per_row():
    assert all(product.name for product in Product.objects.only("id").order_by("id")[:25])
    return truth(n=25, rows=25)


@silent("n_plus_one", pause_s=CHAIN_PAUSE_S)
def no_column_deferred():
    assert all(product.name for product in Product.objects.only("id", "name").order_by("id")[:25])


@finds(n_plus_one("orders.customer_id", "customers.id"))
def server_side_cursor():
    with transaction.atomic():
        for order in page().iterator(chunk_size=10):
            assert order.customer.name
    return truth(n=PAGE, rows=PAGE)


@silent("n_plus_one")
def server_side_cursor_joined():
    with transaction.atomic():
        assert all(order.customer.name for order in page("customer").iterator(chunk_size=10))


@finds(kind("looped_lookup", child="customers.email"), pause_s=CHAIN_PAUSE_S)
def looped_lookup():
    for number in range(60):
        Customer.objects.get(email=f"c{number * 7 % 300}@example.net")
    return truth(n=60)


@silent("looped_lookup", pause_s=CHAIN_PAUSE_S)
def looked_up_in_bulk():
    assert Customer.objects.filter(email__in=[f"c{number * 7 % 300}@example.net" for number in range(60)]).count()


@finds(kind("write_loop", child="tags"), pause_s=CHAIN_PAUSE_S)
def create_by_row():
    for _ in range(30):
        Tag.objects.create(name=secrets.token_hex(8), uses=0)
    return truth(n=30)


@finds(kind("write_loop", child="products", proof="observed"))
def save_by_row_atomic():
    products = list(Product.objects.order_by("id")[:30])
    with transaction.atomic():
        for product in products:
            product.stock += 1
            product.save(update_fields=["stock"])
    return truth(n=30)


@silent("write_loop", pause_s=CHAIN_PAUSE_S)
def bulk_create():
    Tag.objects.bulk_create(Tag(name=secrets.token_hex(8), uses=0) for _ in range(300))


@silent("write_loop", "n_plus_one")
def bulk_update():
    products = list(Product.objects.order_by("id")[:30])
    for product in products:
        product.stock += 1
    Product.objects.bulk_update(products, ["stock"])
    Product.objects.filter(id__lt=500_210).update(stock=F("stock") + 1)


@finds(kind("upsert_loop", child="tags"), may=("write_loop", "looped_lookup", "savepoint_loop"), pause_s=CHAIN_PAUSE_S)
def update_or_create():
    # In autocommit Django opens a transaction for each: that looks like one job after another.
    with transaction.atomic():
        for number in range(20):
            name = f"tag-{number + 1}" if number % 2 else secrets.token_hex(8)
            Tag.objects.update_or_create(name=name, defaults={"uses": 1})


@silent("upsert_loop", "write_loop")
def bulk_create_with_conflicts():
    tags = [Tag(name=f"tag-{number + 1}" if number % 2 else secrets.token_hex(8), uses=1) for number in range(20)]
    Tag.objects.bulk_create(tags, update_conflicts=True, unique_fields=["name"], update_fields=["uses"])


@finds(kind("savepoint_loop"), may=("write_loop",))
def atomic_by_row():
    with transaction.atomic():
        for _ in range(20):
            with transaction.atomic():
                Tag.objects.create(name=secrets.token_hex(8), uses=0)
    return truth(n=20)


@silent("savepoint_loop")
def atomic_once():
    with transaction.atomic():
        Tag.objects.bulk_create(Tag(name=secrets.token_hex(8), uses=0) for _ in range(20))


@finds(kind("duplicate_query", child="countries"), pause_s=CHAIN_PAUSE_S)
def same_read_again():
    for _ in range(12):
        Country.objects.get(id=301)
    return truth(n=12)


@silent("duplicate_query", pause_s=CHAIN_PAUSE_S)
def read_once():
    country = Country.objects.get(id=301)
    assert all(country.name for _ in range(12))


@finds(kind("unbounded_result", child="events"), pause_s=CHAIN_PAUSE_S)
def whole_table():
    assert len(Event.objects.all()) == 24_000


@silent("unbounded_result", "tiny_fetch", pause_s=CHAIN_PAUSE_S)
def whole_table_iterated():
    assert sum(1 for _ in Event.objects.all().iterator(chunk_size=2000)) == 24_000


@finds(kind("tiny_fetch"), pause_s=CHAIN_PAUSE_S)
def iterated_in_tiny_chunks():
    assert sum(1 for _ in Item.objects.all()[:400].iterator(chunk_size=5)) == 400


@finds(kind("deep_offset", child="events"), pause_s=CHAIN_PAUSE_S)
def offset_pages():
    for number in range(12):
        assert len(Event.objects.order_by("id")[number * 1900:number * 1900 + 20]) == 20
        time.sleep(0.06)


@silent("deep_offset", "n_plus_one", pause_s=CHAIN_PAUSE_S)
def keyset_pages():
    last = 0
    for _ in range(12):
        last = list(Event.objects.filter(id__gt=last).order_by("id")[:20])[-1].id
        time.sleep(0.06)


@finds(kind("count_every_page"), pause_s=CHAIN_PAUSE_S)
def paginator():
    for number in range(1, 7):
        assert len(list(Paginator(SlowOrder.objects.order_by("id"), 20).page(number))) == 20
        time.sleep(0.06)


@silent("count_every_page", pause_s=CHAIN_PAUSE_S)
def pages_without_count():
    for number in range(6):
        assert len(SlowOrder.objects.order_by("id")[number * 20:number * 20 + 21]) == 21
        time.sleep(0.06)


@finds(kind("wide_fetch", column="documents.body"), repeats=4, pause_s=CHAIN_PAUSE_S)
def bodies_for_a_list_of_titles():
    assert len([document.title for document in Document.objects.all()[:60]]) == 60


@silent("wide_fetch", pause_s=CHAIN_PAUSE_S)
def bodies_deferred():
    assert len([document.title for document in Document.objects.defer("body")[:60]]) == 60


@finds(kind("large_in_list"), pause_s=CHAIN_PAUSE_S)
def huge_in_list():
    assert Product.objects.filter(id__in=[500_000 + number * 7 for number in range(1200)]).count() == 1000


@silent("large_in_list", pause_s=CHAIN_PAUSE_S)
def subquery_instead_of_a_list():
    assert Product.objects.filter(id__in=Item.objects.values("product_id")).count() > 100


@finds(kind("idle_in_transaction"), repeats=1)
def remote_call_inside_atomic():
    with transaction.atomic():
        Product.objects.filter(id=500_000).update(stock=7)
        time.sleep(1.3)


@silent("idle_in_transaction", "long_transaction", repeats=1)
def remote_call_on_commit():
    with transaction.atomic():
        Product.objects.filter(id=500_000).update(stock=7)
        transaction.on_commit(lambda: time.sleep(1.3))


@finds(kind("connection_churn"), repeats=1)
def connection_per_request():
    """What CONN_MAX_AGE = 0 does."""
    for number in range(15):
        Customer.objects.get(id=7000 + number * 3)
        connection.close()


@finds(kind("polling"), repeats=1)
def polling():
    for _ in range(26):
        assert Job.objects.filter(state="none").first() is None
        time.sleep(0.1)


@silent("n_plus_one", "write_loop", "looped_lookup", pause_s=CHAIN_PAUSE_S)
def queue_worker():
    for _ in range(30):
        with transaction.atomic():
            job = Job.objects.filter(state="ready").order_by("id").select_for_update(skip_locked=True)[:1].get()
            job.state = "done"
            job.save(update_fields=["state"])


@silent("n_plus_one", "looped_lookup", pause_s=CHAIN_PAUSE_S)
def introspection():
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            connection.introspection.get_table_description(cursor, table)
            connection.introspection.get_constraints(cursor, table)


@contextmanager
def lock_timeout():
    with connection.cursor() as cursor:
        cursor.execute("set lock_timeout = '2s'")
    yield


def migrate(*wanted, atomic=True):
    """Applies operations as a migration of its own."""
    class Migration(migrations.Migration):
        operations = list(wanted)

    Migration.atomic = atomic
    state = ProjectState()
    state.add_model(ModelState("shop", "Event", [
        ("id", models.IntegerField(primary_key=True)), ("kind", models.TextField()),
        ("note", models.TextField(null=True))], {"db_table": "events"}))
    with connection.schema_editor(atomic=atomic) as editor:
        Migration("0002", "shop").apply(state, editor)


@finds(kind("lock_hazard", rule="index_not_concurrent"), kind("lock_hazard", rule="set_not_null"), kind("lock_hazard", rule="no_lock_timeout"),
       may=("lock_hazard",), repeats=1)
def migration_dangerous():
    migrate(migrations.AlterField("event", "note", models.TextField()))
    migrate(migrations.AddIndex("event", models.Index(fields=["kind"], name="events_kind")))


@silent("lock_hazard", repeats=1)
def migration_safe():
    migrate(AddIndexConcurrently("event", models.Index(fields=["kind"], name="events_kind")), atomic=False)
    with lock_timeout():
        migrate(migrations.AddField("event", "seen", models.IntegerField(null=True)))


if __name__ == "__main__":
    main(Shop, sys.argv[1:])
