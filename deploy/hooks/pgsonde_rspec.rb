# Gives each example its row in `pgsonde audit`. Outside of an audit it does nothing.
#
#   # spec_helper.rb
#   require_relative "../deploy/hooks/pgsonde_rspec"
#   RSpec.configure { |config| Pgsonde.mark_examples(config) }

require "json"
require "net/http"
require "uri"

module Pgsonde
  ADMIN = ENV["PGSONDE_ADMIN"]
  TOKEN = ENV["PGSONDE_TOKEN"]

  # Everything of this process runs under `name` from now on; nil ends it.
  def self.mark(name)
    return unless ADMIN && TOKEN

    uri = URI("#{ADMIN}/api/v1/marks")
    headers = { "Authorization" => "Bearer #{TOKEN}", "Content-Type" => "application/json" }
    # The admin interface is local; a company's HTTP proxy has no business with it.
    Net::HTTP.start(uri.host, uri.port, nil, open_timeout: 5, read_timeout: 5) do |http|
      http.post(uri.path, JSON.generate(mark: name && name[0, 80]), headers)
    end
  end

  def self.mark_examples(config)
    config.around do |example|
      Pgsonde.mark(example.full_description)
      example.run
    ensure
      Pgsonde.mark(nil)
    end
  end
end
