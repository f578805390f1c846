package shop;

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.BuiltinExchangeType;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.MessageProperties;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * A durable queue behind a durable direct exchange: what is published with the queue's key is consumed, once and in order;
 * what is published with another key is not.
 *
 * <p>Takes the broker's URI as its argument, or from AMQP_URI.
 */
public final class Invoices {
  private static final int MESSAGES = 100;
  private static final int SECONDS = 60;

  public static void main(String[] arguments) throws Exception {
    endAfter(SECONDS);
    String uri = arguments.length > 0 ? arguments[0] : System.getenv("AMQP_URI");
    if (uri == null) {
      throw new IllegalArgumentException("usage: Invoices amqp://user:password@host:port/%2F");
    }
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(uri);
    factory.setAutomaticRecoveryEnabled(false);

    String run = UUID.randomUUID().toString().substring(0, 8);
    String exchange = "shop-" + run;
    String queue = "invoices-" + run;
    try (Connection connection = factory.newConnection("invoices")) {
      Channel channel = connection.createChannel();
      channel.exchangeDeclare(exchange, BuiltinExchangeType.DIRECT, true);
      channel.queueDeclare(queue, true, false, false, null);
      channel.queueBind(queue, exchange, "invoice");

      for (int number = 0; number < MESSAGES; number++) {
        byte[] body = ("invoice " + number).getBytes(StandardCharsets.UTF_8);
        channel.basicPublish(exchange, "invoice", MessageProperties.PERSISTENT_TEXT_PLAIN, body);
        channel.basicPublish(exchange, "reminder", MessageProperties.PERSISTENT_TEXT_PLAIN, body);
      }

      List<String> received = new ArrayList<>();
      List<String> wrong = new ArrayList<>();
      CountDownLatch all = new CountDownLatch(MESSAGES);
      channel.basicConsume(queue, false, new DefaultConsumer(channel) {
        @Override
        public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body)
            throws IOException {
          received.add(new String(body, StandardCharsets.UTF_8));
          if (!exchange.equals(envelope.getExchange()) || !"invoice".equals(envelope.getRoutingKey())) {
            wrong.add("came by " + envelope);
          }
          if (!Integer.valueOf(2).equals(properties.getDeliveryMode())
              || !"text/plain".equals(properties.getContentType())) {
            wrong.add("came with " + properties);
          }
          getChannel().basicAck(envelope.getDeliveryTag(), false);
          all.countDown();
        }
      });
      if (!all.await(SECONDS / 2, TimeUnit.SECONDS)) {
        fail("only " + (MESSAGES - all.getCount()) + " of " + MESSAGES + " messages came");
      }
      for (int number = 0; number < MESSAGES; number++) {
        if (!received.get(number).equals("invoice " + number)) {
          fail("message " + number + " was '" + received.get(number) + "'");
        }
      }
      if (!wrong.isEmpty()) {
        fail("a message " + wrong.get(0));
      }
      channel.queueDelete(queue);
      channel.exchangeDelete(exchange);
      channel.close();
    }
    System.out.println(MESSAGES + " invoices went through a durable queue, in order");
    System.exit(0);
  }

  private static void fail(String sentence) {
    System.err.println("Invoices: " + sentence);
    System.exit(1);
  }

  private static void endAfter(int seconds) {
    Thread timer = new Thread(() -> {
      try {
        TimeUnit.SECONDS.sleep(seconds);
      } catch (InterruptedException interrupted) {
        return;
      }
      System.err.println("Invoices: not done after " + seconds + " s");
      Runtime.getRuntime().halt(1);
    });
    timer.setDaemon(true);
    timer.start();
  }
}
