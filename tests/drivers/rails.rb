# ActiveRecord on ruby-pg: `ruby rails.rb list|run …`; scenario.py tells how such programs speak. In autocommit, unless
# it says otherwise.
require "active_record"
require "json"
require "securerandom"

$stdout.sync = true
ActiveRecord::Base.logger = nil
PAGE = 40
PAGE_CUSTOMERS = 23
SCENARIOS = {}

# The program has a problem: `expect` must be found.
def finds(name, *expect, may: [], repeats: 3, pause: 0.3, &run)
  SCENARIOS[name.to_s] = { expect: expect, never: [], may: may, repeats: repeats, pause: pause, run: run }
end

# The program is healthy: nothing of warning or above, and none of the kinds that it was repaired of.
def silent(name, *never, repeats: 3, pause: 0.3, &run)
  SCENARIOS[name.to_s] = { expect: [], never: never, may: [], repeats: repeats, pause: pause, run: run }
end

def n_plus_one(parent, child, **more) = { kind: "n_plus_one", proof: "dataflow", parent: parent, child: child, **more }
def kind(name, **more) = { kind: name, **more }

class Shown < ActiveRecord::Base
  self.abstract_class = true
end

class Country < Shown; end

class Customer < Shown
  belongs_to :country
  has_many :orders
end

class Product < Shown; end

class Order < Shown
  belongs_to :customer
  has_many :items
  has_many :payments
end

class Item < Shown
  belongs_to :order
  belongs_to :product
end

class Payment < Shown; end
class Document < Shown; end
class Event < Shown; end
class Job < Shown; end
class Tag < Shown; end

def page(rows = PAGE) = Order.order(id: :desc).limit(rows)
def database = ActiveRecord::Base.connection
def word = SecureRandom.hex(8)

finds :lazy_to_one, n_plus_one("items.product_id", "products.id", gate: "chain") do
  Item.order(id: :desc).limit(30).each { |item| item.product.name }
  [{ n: 30, rows: 30 }]
end

silent :lazy_to_one_included, "n_plus_one", "looped_lookup" do
  Item.order(id: :desc).limit(30).includes(:product).each { |item| item.product.name }
end

finds :lazy_to_one_in_a_transaction, n_plus_one("orders.customer_id", "customers.id", gate: "scope"), pause: 0.07 do
  Order.transaction { page.each { |order| order.customer.name } }
  [{ n: PAGE, rows: PAGE }]
end

silent :query_cache, "n_plus_one", "duplicate_query" do
  Order.cache { 12.times { Country.find(301) } }
end

finds :lazy_to_many, n_plus_one("orders.id", "items.order_id") do
  page.each { |order| order.items.to_a }
  [{ n: PAGE, rows: PAGE }]
end

silent :lazy_to_many_preloaded, "n_plus_one" do
  page.preload(:items).strict_loading.each { |order| order.items.to_a }
end

finds :nested, n_plus_one("orders.id", "items.order_id"), n_plus_one("items.product_id", "products.id", variant: "nested") do
  seen = page(8).flat_map { |order| order.items.map { |item| item.product.id } }
  [{ n: 8, rows: 8 }, { n: seen.size }]
end

silent :nested_preloaded, "n_plus_one" do
  page(8).preload(items: :product).each { |order| order.items.each { |item| item.product.name } }
end

finds :count_per_parent, n_plus_one("customers.id", "orders.customer_id", variant: "aggregate") do
  Customer.order(:id).limit(20).each { |customer| customer.orders.count }
  [{ n: 20, rows: 20 }]
end

silent :count_grouped, "n_plus_one" do
  customers = Customer.order(:id).limit(20).to_a
  Order.where(customer_id: customers.map(&:id)).group(:customer_id).count
end

finds :looped_lookup, kind("looped_lookup", child: "customers.email") do
  60.times { |number| Customer.find_by(email: "c#{number * 7 % 300}@example.net") }
  [{ n: 60 }]
end

silent :looked_up_at_once, "looped_lookup" do
  Customer.where(email: (0...60).map { |number| "c#{number * 7 % 300}@example.net" }).to_a
end

finds :create_by_row, kind("write_loop", child: "tags") do
  30.times { Tag.create!(name: word, uses: 0) }
  [{ n: 30 }]
end

silent :insert_all, "write_loop" do
  Tag.insert_all!((0...300).map { { name: word, uses: 0 } })
end

finds :update_by_row, kind("write_loop", child: "products", proof: "observed"), pause: 0.07 do
  products = Product.order(:id).limit(30).to_a
  Product.transaction { products.each { |product| product.update_columns(stock: product.stock + 1) } }
  [{ n: 30 }]
end

silent :update_all, "write_loop" do
  Product.where("id < 500210").update_all("stock = stock + 1")
end

finds :find_or_create, kind("upsert_loop", child: "tags"), may: %w[write_loop looped_lookup savepoint_loop] do
  20.times { Tag.find_or_create_by!(name: word) { |tag| tag.uses = 0 } }
end

silent :upsert_all, "upsert_loop", "write_loop" do
  Tag.upsert_all((1..20).map { |number| { name: "tag-#{number}", uses: 1 } }, unique_by: :name)
end

finds :savepoint_by_row, kind("savepoint_loop"), may: %w[write_loop], pause: 0.07 do
  Tag.transaction { 20.times { Tag.transaction(requires_new: true) { Tag.create!(name: word, uses: 0) } } }
  [{ n: 20 }]
end

finds :same_read_again, kind("duplicate_query", child: "countries") do
  12.times { Country.find(301) }
  [{ n: 12 }]
end

finds :whole_table, kind("unbounded_result", child: "events") do
  raise unless Event.all.to_a.size == 24_000
end

silent :whole_table_in_batches, "unbounded_result", "n_plus_one", "looped_lookup" do
  raise unless Event.find_each(batch_size: 2000).sum { 1 } == 24_000
end

finds :offset_pages, kind("deep_offset", child: "events") do
  12.times do |number|
    Event.order(:id).offset(number * 1900).limit(20).to_a
    sleep 0.06
  end
end

silent :keyset_pages, "deep_offset", "n_plus_one" do
  last = 0
  12.times do
    last = Event.where("id > ?", last).order(:id).limit(20).to_a.last.id
    sleep 0.06
  end
end

finds :two_collections_joined, kind("cartesian_explosion") do
  Order.eager_load(:items, :payments).to_a
end

silent :two_collections_preloaded, "cartesian_explosion", "n_plus_one" do
  Order.preload(:items, :payments).to_a
end

finds :bodies_for_a_list_of_titles, kind("wide_fetch", column: "documents.body"), repeats: 4 do
  Document.limit(60).map(&:title)
end

silent :titles_only, "wide_fetch" do
  Document.limit(60).select(:id, :title).map(&:title)
end

finds :huge_in_list, kind("large_in_list") do
  Product.where(id: (0...1200).map { |number| 500_000 + number * 7 }).to_a
end

finds :remote_call_in_a_transaction, kind("idle_in_transaction"), repeats: 1 do
  Product.transaction do
    Product.where(id: 500_000).update_all(stock: 7)
    sleep 1.3
  end
end

silent :queue_worker, "n_plus_one", "write_loop", "looped_lookup" do
  30.times do
    Job.transaction do
      job = Job.where(state: "ready").order(:id).limit(1).lock("FOR UPDATE SKIP LOCKED").first
      job.update_columns(state: "done")
    end
  end
end

def migration(transaction: true, &change)
  step = Class.new(ActiveRecord::Migration[6.1]) do
    disable_ddl_transaction! unless transaction
    define_method(:change, &change)
  end
  step.verbose = false
  transaction ? ActiveRecord::Base.transaction { step.new.migrate(:up) } : step.new.migrate(:up)
end

hazards = %w[index_not_concurrent set_not_null no_lock_timeout].map { |rule| kind("lock_hazard", rule: rule) }
finds :migration_dangerous, *hazards, may: %w[lock_hazard], repeats: 1 do
  migration do
    add_index :events, :kind
    change_column_null :events, :note, false
  end
  nil
end

silent :migration_safe, "lock_hazard", repeats: 1 do
  migration(transaction: false) { add_index :events, :kind, algorithm: :concurrently }
  migration do
    execute "set local lock_timeout = '2s'"
    add_column :events, :seen, :integer
  end
end

def played(name, url)
  scenario = SCENARIOS.fetch(name)
  address = "#{url}_#{name}?application_name=#{name}"
  ActiveRecord::Base.establish_connection(address)
  seen = nil
  scenario[:repeats].times do |repeat|
    sleep scenario[:pause] if repeat.positive?
    seen = scenario[:run].call
  end
  ActiveRecord::Base.remove_connection
  seen = [] unless seen.is_a?(Array) && seen.all? { |one| one.is_a?(Hash) }
  seen.map { |numbers| { sightings: scenario[:repeats] }.merge(numbers) }
end

task, url, *names = ARGV
if task == "list"
  SCENARIOS.each { |name, told| puts JSON.generate({ name: name, **told.slice(:expect, :never, :may) }) }
else
  names.each do |name|
    answer = begin
      { scenario: name, truth: played(name, url) }
    rescue StandardError => error
      { scenario: name, error: "#{error.class}: #{error.message}\n#{error.backtrace.first(3).join("\n")}" }
    end
    puts JSON.generate(answer)
  end
end
