"""Two pages: one that loads its customers one by one, and one that doesn't."""

import os

from django.db import connection
from django.test import TestCase

from .models import Customer, Order


class Pages(TestCase):
    @classmethod
    def setUpTestData(cls):
        customers = Customer.objects.bulk_create([Customer(name=f"customer {n}") for n in range(12)])
        Order.objects.bulk_create([Order(customer=customer) for customer in customers])

    def setUp(self):
        with connection.cursor() as cursor:
            cursor.execute("SET pgsonde.mark = %s", [self._testMethodName])

    def tearDown(self):
        with connection.cursor() as cursor:
            cursor.execute("RESET pgsonde.mark")

    def test_order_list(self):
        orders = Order.objects.order_by("id")
        if os.environ.get("SHOP_FIXED") == "1":
            orders = orders.select_related("customer")
        self.assertEqual(len({order.customer.name for order in orders}), 12)

    def test_order_count(self):
        self.assertEqual(Order.objects.count(), 12)
