"""A database like TPC-H's and 19 of its questions: own generator, same tables, cardinalities and distributions.

Rows are made by the server itself from hashes of their numbers, so that two runs give the same data. There are no
primary keys: every index is the advisor's to find.
"""

REGIONS = ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]
NATIONS = ["ALGERIA", "ARGENTINA", "BRAZIL", "CANADA", "EGYPT", "ETHIOPIA", "FRANCE", "GERMANY", "INDIA", "INDONESIA",
           "IRAN", "IRAQ", "JAPAN", "JORDAN", "KENYA", "MOROCCO", "MOZAMBIQUE", "PERU", "CHINA", "ROMANIA",
           "SAUDI ARABIA", "VIETNAM", "RUSSIA", "UNITED KINGDOM", "UNITED STATES"]
NATION_REGION = [0, 1, 1, 1, 4, 0, 3, 3, 2, 2, 4, 4, 2, 4, 0, 0, 0, 1, 2, 3, 4, 2, 3, 3, 1]
SEGMENTS = ["AUTOMOBILE", "BUILDING", "FURNITURE", "HOUSEHOLD", "MACHINERY"]
PRIORITIES = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"]
MODES = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]
INSTRUCTIONS = ["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]
SIZES = ["STANDARD", "SMALL", "MEDIUM", "LARGE", "ECONOMY", "PROMO"]
FINISHES = ["ANODIZED", "BURNISHED", "PLATED", "POLISHED", "BRUSHED"]
METALS = ["TIN", "NICKEL", "BRASS", "STEEL", "COPPER"]
BOXES = ["SM", "LG", "MED", "JUMBO", "WRAP"]
KINDS = ["CASE", "BOX", "BAG", "JAR", "PKG", "PACK", "CAN", "DRUM"]
COLOURS = ["almond", "antique", "aquamarine", "azure", "beige", "bisque", "black", "blanched", "blue", "blush", "brown",
           "burlywood", "chartreuse", "chiffon", "coral", "cream", "cyan", "dark", "dim", "drab", "firebrick", "forest",
           "frosted", "ghost", "goldenrod", "green", "grey", "honeydew", "hot", "indian", "ivory", "khaki", "lace",
           "lavender", "lawn", "lemon", "light", "lime", "linen", "magenta", "maroon", "medium", "metallic", "midnight"]

TABLES = """
create unlogged table region (r_regionkey int not null, r_name char(25) not null, r_comment varchar(152));
create unlogged table nation (n_nationkey int not null, n_name char(25) not null, n_regionkey int not null,
  n_comment varchar(152));
create unlogged table supplier (s_suppkey int not null, s_name char(25) not null, s_address varchar(40) not null,
  s_nationkey int not null, s_phone char(15) not null, s_acctbal numeric(15,2) not null, s_comment varchar(101) not null);
create unlogged table part (p_partkey int not null, p_name varchar(55) not null, p_mfgr char(25) not null,
  p_brand char(10) not null, p_type varchar(25) not null, p_size int not null, p_container char(10) not null,
  p_retailprice numeric(15,2) not null, p_comment varchar(23) not null);
create unlogged table partsupp (ps_partkey int not null, ps_suppkey int not null, ps_availqty int not null,
  ps_supplycost numeric(15,2) not null, ps_comment varchar(199) not null);
create unlogged table customer (c_custkey int not null, c_name varchar(25) not null, c_address varchar(40) not null,
  c_nationkey int not null, c_phone char(15) not null, c_acctbal numeric(15,2) not null, c_mktsegment char(10) not null,
  c_comment varchar(117) not null);
create unlogged table orders (o_orderkey int not null, o_custkey int not null, o_orderstatus char(1) not null,
  o_totalprice numeric(15,2) not null, o_orderdate date not null, o_orderpriority char(15) not null,
  o_clerk char(15) not null, o_shippriority int not null, o_comment varchar(79) not null);
create unlogged table lineitem (l_orderkey int not null, l_partkey int not null, l_suppkey int not null,
  l_linenumber int not null, l_quantity numeric(15,2) not null, l_extendedprice numeric(15,2) not null,
  l_discount numeric(15,2) not null, l_tax numeric(15,2) not null, l_returnflag char(1) not null,
  l_linestatus char(1) not null, l_shipdate date not null, l_commitdate date not null, l_receiptdate date not null,
  l_shipinstruct char(25) not null, l_shipmode char(10) not null, l_comment varchar(44) not null);
-- a number from 0 to n - 1 that hangs on two numbers only
create function pick(i bigint, salt int, n bigint) returns bigint language sql immutable parallel safe
  as 'select (hashint8extended($1, $2) & 9223372036854775807) % $3';
create function words(i bigint, salt int, fewest int, most int) returns text language sql immutable parallel safe
  as 'select left(repeat(md5(($1 * 31 + $2)::text), 7), ($3 + pick($1, $2, $4 - $3 + 1))::int)';
create function phone(i bigint, nation bigint) returns text language sql immutable parallel safe
  as $$select ($2 + 10) || '-' || (100 + pick($1, 11, 900)) || '-' || (100 + pick($1, 12, 900)) || '-'
    || (1000 + pick($1, 13, 9000))$$;
"""


def _array(values):
    return "(array[" + ",".join(f"'{value}'" for value in values) + "])"


def _one(values, i, salt):
    return f"{_array(values)}[1 + pick({i}, {salt}, {len(values)})]"


def data(scale):
    """The statements that fill the tables, biggest last."""
    suppliers, parts = max(10, int(10_000 * scale)), max(200, int(200_000 * scale))
    customers, orders = max(150, int(150_000 * scale)), max(1500, int(1_500_000 * scale))
    nations = ",".join(f"({at}, '{name}', {region}, 'n')"
                       for at, (name, region) in enumerate(zip(NATIONS, NATION_REGION)))
    regions = ",".join(f"({at}, '{name}', 'r')" for at, name in enumerate(REGIONS))
    colours = " || ' ' || ".join(_one(COLOURS, "i", 30 + at) for at in range(5))
    supplier_of = f"1 + (({{part}} + {{nth}} * ({suppliers} / 4 + ({{part}} - 1) / {suppliers})) % {suppliers})"
    day = "date '1992-01-01' + pick(o, 61, 2406)::int"
    yield f"insert into region values {regions}; insert into nation values {nations}"
    yield f"""insert into supplier select i, 'Supplier#' || lpad(i::text, 9, '0'), words(i, 1, 10, 40), pick(i, 2, 25),
      phone(i, pick(i, 2, 25)), (pick(i, 3, 1099999) - 99999) / 100.0,
      words(i, 4, 25, 90) || case when pick(i, 5, 2000) = 0 then ' Customer Complaints' else '' end
      from generate_series(1, {suppliers}) i"""
    yield f"""insert into part select i, {colours}, 'Manufacturer#' || m, 'Brand#' || m || (1 + pick(i, 21, 5)),
      {_one(SIZES, 'i', 22)} || ' ' || {_one(FINISHES, 'i', 23)} || ' ' || {_one(METALS, 'i', 24)}, 1 + pick(i, 25, 50),
      {_one(BOXES, 'i', 26)} || ' ' || {_one(KINDS, 'i', 27)}, (90000 + (i / 10) % 20001 + 100 * (i % 1000)) / 100.0,
      words(i, 28, 5, 22) from (select i, 1 + pick(i, 20, 5) as m from generate_series(1, {parts}) i) p"""
    yield f"""insert into partsupp select p, {supplier_of.format(part='p', nth='n')}, 1 + pick(p * 4 + n, 41, 9999),
      (100 + pick(p * 4 + n, 42, 99901)) / 100.0, words(p * 4 + n, 43, 49, 198)
      from generate_series(1, {parts}) p, generate_series(0, 3) n"""
    yield f"""insert into customer select i, 'Customer#' || lpad(i::text, 9, '0'), words(i, 51, 10, 40), pick(i, 52, 25),
      phone(i, pick(i, 52, 25)), (pick(i, 53, 1099999) - 99999) / 100.0, {_one(SEGMENTS, 'i', 54)},
      words(i, 55, 29, 116) from generate_series(1, {customers}) i"""
    # keys leave three quarters of their range out, and a third of the customers never order
    yield f"""insert into lineitem select (o / 8) * 32 + o % 8, part, {supplier_of.format(part='part', nth='pick(k, 73, 4)')},
      n, quantity, quantity * (90000 + (part / 10) % 20001 + 100 * (part % 1000)) / 100.0, pick(k, 74, 11) / 100.0,
      pick(k, 75, 9) / 100.0, case when receipt > date '1995-06-17' then 'N' when pick(k, 76, 2) = 0 then 'R' else 'A' end,
      case when ship > date '1995-06-17' then 'O' else 'F' end, ship, day + 30 + pick(k, 77, 61)::int, receipt,
      {_one(INSTRUCTIONS, 'k', 78)}, {_one(MODES, 'k', 79)}, words(k, 80, 10, 43)
      from (select *, ship + 1 + pick(k, 81, 30)::int as receipt from
       (select *, day + 1 + pick(k, 82, 121)::int as ship from
        (select o, n, o * 8 + n as k, {day} as day, 1 + pick(o * 8 + n, 71, {parts}) as part,
          1 + pick(o * 8 + n, 72, 50) as quantity from generate_series(1::bigint, {orders}) o,
          generate_series(1, (1 + pick(o, 70, 7))::int) n) a) b) c"""
    yield f"""insert into orders select key, 1 + (c / 2) * 3 + c % 2, status, price, day, {_one(PRIORITIES, 'o', 62)},
      'Clerk#' || lpad((1 + pick(o, 63, {max(1, int(1000 * scale))}))::text, 9, '0'), 0,
      words(o, 64, 19, 62) || case when pick(o, 65, 100) = 0 then ' special requests' else '' end
      from (select o, (o / 8) * 32 + o % 8 as key, pick(o, 66, {customers * 2 // 3 - 2}) as c, {day} as day
       from generate_series(1::bigint, {orders}) o) n
      join (select l_orderkey, sum(l_extendedprice * (1 + l_tax) * (1 - l_discount)) as price,
        case when min(l_linestatus) = 'O' then 'O' when max(l_linestatus) = 'F' then 'F' else 'P' end as status
        from lineitem group by 1) l on l_orderkey = key order by o"""


# 2, 17 and 20 are left out: their correlated parts would outweigh all others together.
QUERIES = {
    1: "select l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice), sum(l_extendedprice * (1 - l_discount)), sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)), avg(l_quantity), avg(l_extendedprice), avg(l_discount), count(*) from lineitem where l_shipdate <= date '1998-12-01' - interval '90' day group by l_returnflag, l_linestatus order by l_returnflag, l_linestatus",
    3: "select l_orderkey, sum(l_extendedprice * (1 - l_discount)) as revenue, o_orderdate, o_shippriority from customer, orders, lineitem where c_mktsegment = 'BUILDING' and c_custkey = o_custkey and l_orderkey = o_orderkey and o_orderdate < date '1995-03-15' and l_shipdate > date '1995-03-15' group by l_orderkey, o_orderdate, o_shippriority order by revenue desc, o_orderdate limit 10",
    4: "select o_orderpriority, count(*) from orders where o_orderdate >= date '1993-07-01' and o_orderdate < date '1993-07-01' + interval '3' month and exists (select * from lineitem where l_orderkey = o_orderkey and l_commitdate < l_receiptdate) group by o_orderpriority order by o_orderpriority",
    5: "select n_name, sum(l_extendedprice * (1 - l_discount)) as revenue from customer, orders, lineitem, supplier, nation, region where c_custkey = o_custkey and l_orderkey = o_orderkey and l_suppkey = s_suppkey and c_nationkey = s_nationkey and s_nationkey = n_nationkey and n_regionkey = r_regionkey and r_name = 'ASIA' and o_orderdate >= date '1994-01-01' and o_orderdate < date '1994-01-01' + interval '1' year group by n_name order by revenue desc",
    6: "select sum(l_extendedprice * l_discount) from lineitem where l_shipdate >= date '1994-01-01' and l_shipdate < date '1994-01-01' + interval '1' year and l_discount between 0.05 and 0.07 and l_quantity < 24",
    7: "select supp_nation, cust_nation, l_year, sum(volume) from (select n1.n_name as supp_nation, n2.n_name as cust_nation, extract(year from l_shipdate) as l_year, l_extendedprice * (1 - l_discount) as volume from supplier, lineitem, orders, customer, nation n1, nation n2 where s_suppkey = l_suppkey and o_orderkey = l_orderkey and c_custkey = o_custkey and s_nationkey = n1.n_nationkey and c_nationkey = n2.n_nationkey and ((n1.n_name = 'FRANCE' and n2.n_name = 'GERMANY') or (n1.n_name = 'GERMANY' and n2.n_name = 'FRANCE')) and l_shipdate between date '1995-01-01' and date '1996-12-31') shipping group by supp_nation, cust_nation, l_year order by supp_nation, cust_nation, l_year",
    8: "select o_year, sum(case when nation = 'BRAZIL' then volume else 0 end) / sum(volume) from (select extract(year from o_orderdate) as o_year, l_extendedprice * (1 - l_discount) as volume, n2.n_name as nation from part, supplier, lineitem, orders, customer, nation n1, nation n2, region where p_partkey = l_partkey and s_suppkey = l_suppkey and l_orderkey = o_orderkey and o_custkey = c_custkey and c_nationkey = n1.n_nationkey and n1.n_regionkey = r_regionkey and r_name = 'AMERICA' and s_nationkey = n2.n_nationkey and o_orderdate between date '1995-01-01' and date '1996-12-31' and p_type = 'ECONOMY ANODIZED STEEL') all_nations group by o_year order by o_year",
    9: "select nation, o_year, sum(amount) from (select n_name as nation, extract(year from o_orderdate) as o_year, l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity as amount from part, supplier, lineitem, partsupp, orders, nation where s_suppkey = l_suppkey and ps_suppkey = l_suppkey and ps_partkey = l_partkey and p_partkey = l_partkey and o_orderkey = l_orderkey and s_nationkey = n_nationkey and p_name like '%green%') profit group by nation, o_year order by nation, o_year desc",
    10: "select c_custkey, c_name, sum(l_extendedprice * (1 - l_discount)) as revenue, c_acctbal, n_name, c_address, c_phone, c_comment from customer, orders, lineitem, nation where c_custkey = o_custkey and l_orderkey = o_orderkey and o_orderdate >= date '1993-10-01' and o_orderdate < date '1993-10-01' + interval '3' month and l_returnflag = 'R' and c_nationkey = n_nationkey group by c_custkey, c_name, c_acctbal, c_phone, n_name, c_address, c_comment order by revenue desc limit 20",
    11: "select ps_partkey, sum(ps_supplycost * ps_availqty) as value from partsupp, supplier, nation where ps_suppkey = s_suppkey and s_nationkey = n_nationkey and n_name = 'GERMANY' group by ps_partkey having sum(ps_supplycost * ps_availqty) > (select sum(ps_supplycost * ps_availqty) * 0.0001 from partsupp, supplier, nation where ps_suppkey = s_suppkey and s_nationkey = n_nationkey and n_name = 'GERMANY') order by value desc",
    12: "select l_shipmode, sum(case when o_orderpriority = '1-URGENT' or o_orderpriority = '2-HIGH' then 1 else 0 end), sum(case when o_orderpriority <> '1-URGENT' and o_orderpriority <> '2-HIGH' then 1 else 0 end) from orders, lineitem where o_orderkey = l_orderkey and l_shipmode in ('MAIL', 'SHIP') and l_commitdate < l_receiptdate and l_shipdate < l_commitdate and l_receiptdate >= date '1994-01-01' and l_receiptdate < date '1994-01-01' + interval '1' year group by l_shipmode order by l_shipmode",
    13: "select c_count, count(*) as custdist from (select c_custkey, count(o_orderkey) as c_count from customer left outer join orders on c_custkey = o_custkey and o_comment not like '%special%requests%' group by c_custkey) c_orders group by c_count order by custdist desc, c_count desc",
    14: "select 100.00 * sum(case when p_type like 'PROMO%' then l_extendedprice * (1 - l_discount) else 0 end) / sum(l_extendedprice * (1 - l_discount)) from lineitem, part where l_partkey = p_partkey and l_shipdate >= date '1995-09-01' and l_shipdate < date '1995-09-01' + interval '1' month",
    15: "with revenue as (select l_suppkey as supplier_no, sum(l_extendedprice * (1 - l_discount)) as total_revenue from lineitem where l_shipdate >= date '1996-01-01' and l_shipdate < date '1996-01-01' + interval '3' month group by l_suppkey) select s_suppkey, s_name, s_address, s_phone, total_revenue from supplier, revenue where s_suppkey = supplier_no and total_revenue = (select max(total_revenue) from revenue) order by s_suppkey",
    16: "select p_brand, p_type, p_size, count(distinct ps_suppkey) as supplier_cnt from partsupp, part where p_partkey = ps_partkey and p_brand <> 'Brand#45' and p_type not like 'MEDIUM POLISHED%' and p_size in (49, 14, 23, 45, 19, 3, 36, 9) and ps_suppkey not in (select s_suppkey from supplier where s_comment like '%Customer%Complaints%') group by p_brand, p_type, p_size order by supplier_cnt desc, p_brand, p_type, p_size",
    18: "select c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) from customer, orders, lineitem where o_orderkey in (select l_orderkey from lineitem group by l_orderkey having sum(l_quantity) > 300) and c_custkey = o_custkey and o_orderkey = l_orderkey group by c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice order by o_totalprice desc, o_orderdate limit 100",
    19: "select sum(l_extendedprice * (1 - l_discount)) from lineitem, part where p_partkey = l_partkey and l_shipmode in ('AIR', 'REG AIR') and l_shipinstruct = 'DELIVER IN PERSON' and ((p_brand = 'Brand#12' and p_container in ('SM CASE', 'SM BOX', 'SM PACK', 'SM PKG') and l_quantity between 1 and 11 and p_size between 1 and 5) or (p_brand = 'Brand#23' and p_container in ('MED BAG', 'MED BOX', 'MED PKG', 'MED PACK') and l_quantity between 10 and 20 and p_size between 1 and 10) or (p_brand = 'Brand#34' and p_container in ('LG CASE', 'LG BOX', 'LG PACK', 'LG PKG') and l_quantity between 20 and 30 and p_size between 1 and 15))",
    21: "select s_name, count(*) as numwait from supplier, lineitem l1, orders, nation where s_suppkey = l1.l_suppkey and o_orderkey = l1.l_orderkey and o_orderstatus = 'F' and l1.l_receiptdate > l1.l_commitdate and exists (select * from lineitem l2 where l2.l_orderkey = l1.l_orderkey and l2.l_suppkey <> l1.l_suppkey) and not exists (select * from lineitem l3 where l3.l_orderkey = l1.l_orderkey and l3.l_suppkey <> l1.l_suppkey and l3.l_receiptdate > l3.l_commitdate) and s_nationkey = n_nationkey and n_name = 'SAUDI ARABIA' group by s_name order by numwait desc, s_name limit 100",
    22: "select cntrycode, count(*), sum(c_acctbal) from (select substring(c_phone from 1 for 2) as cntrycode, c_acctbal from customer where substring(c_phone from 1 for 2) in ('13', '31', '23', '29', '30', '18', '17') and c_acctbal > (select avg(c_acctbal) from customer where c_acctbal > 0.00 and substring(c_phone from 1 for 2) in ('13', '31', '23', '29', '30', '18', '17')) and not exists (select * from orders where o_custkey = c_custkey)) custsale group by cntrycode order by cntrycode",
}
