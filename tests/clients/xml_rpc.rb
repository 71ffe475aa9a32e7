# Runs the calls that stdin lists by Ruby's XMLRPC::Client, and prints what each gave. See http_clients.rs.
require "json"
require "xmlrpc/client"

def typed(value)
  value.is_a?(Hash) && value.keys == ["base64"] ? XMLRPC::Base64.new(value["base64"]) : value
end

def outcome(value)
  return { value: value } unless value.is_a?(XMLRPC::FaultException)
  { fault: [value.faultCode, value.faultString] }
end

clients = Hash.new { |made, url| made[url] = XMLRPC::Client.new2(url) }
calls = JSON.parse(STDIN.read.force_encoding("UTF-8"))
results = calls.map do |call|
  client = clients[call["url"]]
  words = ->(one) { [one["method"], *one["params"].map { |value| typed(value) }] }
  if call["several"]
    { several: client.multicall(*call["several"].map(&words)).map { |value| outcome(value) } }
  else
    outcome(client.call2(*words[call]).last)
  end
rescue RuntimeError => error
  { error: error.message }
end
puts JSON.generate(results)
