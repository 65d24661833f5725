# The same shop for RSpec and ActiveRecord: SHOP_FIXED=1 loads all customers at once.
require "active_record"
require_relative "../../../deploy/hooks/pgsonde_rspec"

ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL"))

class Customer < ActiveRecord::Base; end

class Order < ActiveRecord::Base
  belongs_to :customer
end

RSpec.configure do |config|
  Pgsonde.mark_examples(config)
  # ActiveRecord asks for types and columns once per process: no example's own.
  config.before(:suite) { [Order, Customer].each(&:first) }
end

RSpec.describe "the shop" do
  it "lists its orders" do
    orders = Order.order(:id)
    orders = orders.includes(:customer) if ENV["SHOP_FIXED"] == "1"
    names = Order.transaction { orders.map { |order| order.customer.name } }
    expect(names.size).to eq(12)
  end

  it "counts its orders" do
    expect(Order.count).to eq(12)
  end
end
